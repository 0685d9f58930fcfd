"""Choices and loops in the server: what runs, with what, and what is left of it."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.domain.job import JobState
from mayfly.engine.pipelines import Pipelines
from mayfly.kit.errors import Invalid
from mayfly.services import data, jobs, steplogs, submissions
from mayfly.store import children as children_rows
from mayfly.store import codec
from mayfly.store.jobs import JobRow
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire.agent import OutputManifest
from mayfly.wire.mayfly import JobView, Submission

ENVIRONMENT = {"image": "library/python:latest"}
DECIDES = {"command": "true", "environment": ENVIRONMENT, "outputs": {"ok": {"type": "boolean", "is_control": True}}}
WRITES = {"command": "true", "environment": ENVIRONMENT, "outputs": {"o": "${{parent.outputs.best}}"}}
READS = {
    "environment": ENVIRONMENT,
    "command": "cat $[[${{inputs.d}}]]",
    "inputs": {"d": {"type": "uri_folder", "optional": True}},
}
CHOICE: dict[str, Any] = {
    "name": "choice",
    "type": "pipeline",
    "outputs": {"best": None},
    "jobs": {
        "look": DECIDES,
        "which": {
            "type": "if_else",
            "condition": "${{parent.jobs.look.outputs.ok}}",
            "true_block": "${{parent.jobs.yes}}",
            "false_block": ["${{parent.jobs.no}}"],
        },
        "yes": WRITES,
        "no": {**WRITES, "command": "false"},
        "after": {
            **WRITES,
            "command": "ls ${{inputs.d}}",
            "outputs": None,
            "inputs": {"d": "${{parent.jobs.no.outputs.o}}"},
        },
        "join": {"component": READS, "inputs": {"d": "${{parent.jobs.no.outputs.o}}"}},
    },
}
GROWS = {
    "environment": ENVIRONMENT,
    "command": "echo ${{inputs.n}} $[[${{inputs.d}}]]",
    "inputs": {"n": {"type": "integer"}, "d": {"type": "uri_folder", "optional": True}},
    "outputs": {"n": {"type": "integer"}, "d": {"type": "uri_folder"}, "more": {"type": "boolean"}},
}
TURNS: dict[str, Any] = {
    "name": "turns",
    "type": "pipeline",
    "outputs": {"end": None},
    "jobs": {
        "body": {"component": GROWS, "inputs": {"n": 1}, "outputs": {"d": "${{parent.outputs.end}}"}},
        "loop": {
            "type": "do_while",
            "body": "${{parent.jobs.body}}",
            "condition": "more",
            "mapping": {"n": ["n"], "${{parent.body.outputs.d}}": "d"},
            "limits": {"max_iteration_count": 3},
        },
        "last": {"component": READS, "inputs": {"d": "${{parent.jobs.body.outputs.d}}"}},
    },
}
EACH: dict[str, Any] = {
    "name": "each",
    "type": "pipeline",
    "inputs": {"two": 2},
    "jobs": {
        "body": {"component": GROWS},
        "loop": {
            "type": "parallel_for",
            "body": "${{parent.jobs.body}}",
            "items": '{"a": {"n": 1}, "b": {"n": "${{parent.inputs.two}}"}, "c": {"n": 3}}',
            "max_concurrency": 2,
        },
        "last": {"component": READS, "inputs": {"d": "${{parent.jobs.loop.outputs.d}}"}},
    },
}


MAKES = {
    "command": "true",
    "environment": ENVIRONMENT,
    "outputs": {"items": {"type": "string"}, "n": {"type": "integer"}},
}
COUNTS = {
    "environment": ENVIRONMENT,
    "command": "echo ${{inputs.n}} $[[${{inputs.d}}]]",
    "inputs": {"n": {"type": "integer", "max": 9}, "d": {"type": "uri_folder", "optional": True}},
    "outputs": {"n": {"type": "integer"}},
}
INNER = {
    "type": "pipeline",
    "inputs": {"n": {"type": "integer", "max": 9}},
    "outputs": {"n": {"type": "integer"}},
    "jobs": {
        "in": {
            "component": COUNTS,
            "inputs": {"n": "${{parent.inputs.n}}"},
            "outputs": {"n": "${{parent.outputs.n}}"},
        }
    },
}
VALUES: dict[str, Any] = {
    "name": "values",
    "type": "pipeline",
    "jobs": {
        "make": MAKES,
        "nested": {"component": INNER, "inputs": {"n": "${{parent.jobs.make.outputs.n}}"}},
        "bare": {
            "command": "echo ${{inputs.n}}",
            "environment": ENVIRONMENT,
            "inputs": {"n": "${{parent.jobs.nested.outputs.n}}"},
        },
        "file": {
            "command": "cat ${{inputs.n}}",
            "environment": ENVIRONMENT,
            "inputs": {"n": {"type": "uri_file", "path": "${{parent.jobs.make.outputs.n}}"}},
        },
        "body": {"component": COUNTS},
        "each": {"type": "parallel_for", "body": "body", "items": "${{parent.jobs.make.outputs.items}}"},
        "last": {
            "command": "echo ${{inputs.all}}",
            "environment": ENVIRONMENT,
            "inputs": {"all": "${{parent.jobs.each.outputs.n}}"},
        },
    },
}


class Flow:
    """A pipeline by hand; another server takes it up after each step."""

    def __init__(self, stage: Scene, definition: dict[str, Any]) -> None:
        self.stage = stage
        self.id = submissions.accept(stage.world, "me", HERE, Submission(definition=definition))[0].job.id
        self.go_on()

    def go_on(self) -> None:
        Pipelines(self.stage.world).work()

    def child(self, *path: str) -> JobRow:
        at = self.id
        for step in path:
            found = self.stage.world.store.read(lambda c, at=at: children_rows.of(c, at))
            at = next(one.id for one in found if one.step == step)
        return self.stage.row(at)

    def begun(self, *path: str) -> list[str]:
        above = self.child(*path).job.id
        return [one.step for one in self.stage.world.store.read(lambda c: children_rows.of(c, above))]

    def run(self, *path: str, code: int = 0, **made: bytes) -> dict[str, Any]:
        self.stage.turn()
        row = self.child(*path)
        (part,) = parts_of(self.stage.world, row.job.id, 1)
        part.prepare()
        outputs = [
            OutputManifest(name=name, tree=self.stage.upload(x=text), files=1, bytes=1) for name, text in made.items()
        ]
        part.tell(part.started(), part.exited(code))
        part.tell(part.collected(outputs=tuple(outputs)))
        part.tell(part.released())
        self.go_on()
        return codec.load(row.work)

    def view(self) -> JobView:
        return jobs.view_of(self.stage.world, self.id) or pytest.fail("it is gone")

    def stands(self) -> dict[str, str]:
        return {one.name: one.status for one in self.view().steps}


@pytest.mark.parametrize(("said", "chosen", "other"), [(b"True\n", "yes", "no"), (b"false", "no", "yes")])
def test_a_choice_runs_one_of_its_blocks(stage: Scene, said: bytes, chosen: str, other: str) -> None:
    flow = Flow(stage, CHOICE)
    assert flow.begun() == ["look"]
    flow.run("look", ok=said)
    assert set(flow.begun()) - {"join"} == {"look", "which", chosen}
    flow.run(chosen, o=b"made")
    for step in ("after", "join"):
        if step in flow.begun() and not flow.child(step).job.state.terminal:
            flow.run(step)
    view = flow.view()
    stands = flow.stands()
    assert (view.status, stands["which"], stands[chosen], stands[other]) == (
        "Completed",
        "Completed",
        "Completed",
        "Skipped",
    )
    assert stands["after"] == ("Completed" if chosen == "no" else "Skipped") and stands["join"] == "Completed"
    assert [(one.name, one.tree) for one in view.outputs] == [("best", stage.upload(x=b"made"))]


def test_a_condition_that_says_neither_fails_the_pipeline(stage: Scene) -> None:
    flow = Flow(stage, CHOICE)
    flow.run("look", ok=b"perhaps")
    flow.run("join")
    view = flow.view()
    assert view.status == "Failed" and view.error is not None
    assert "holds 'perhaps'; a condition is a file with 'true' or 'false' in it" in view.error.message


def test_rounds_follow_each_other_with_what_the_last_one_made(stage: Scene) -> None:
    flow = Flow(stage, TURNS)
    assert flow.begun() == ["loop"] and flow.begun("loop") == ["body[0]"]
    assert flow.run("loop", "body[0]", n=b"5\n", d=b"one", more=b"true")["literals"] == {"n": "1"}
    second = flow.run("loop", "body[1]", n=b"6", d=b"two", more=b"false")
    assert (second["literals"], second["inputs"][0]["tree"]) == ({"n": "5"}, stage.upload(x=b"one"))
    assert flow.run("last")["inputs"][0]["tree"] == stage.upload(x=b"two")
    view = flow.view()
    assert (view.status, flow.begun("loop")) == ("Completed", ["body[0]", "body[1]"])
    assert [(one.name, one.tree) for one in view.outputs] == [("end", stage.upload(x=b"two"))]
    assert [one.name for one in view.steps[0].steps] == ["body[0]", "body[1]"]


def test_rounds_end_at_their_limit_and_with_a_failure(stage: Scene) -> None:
    flow = Flow(stage, TURNS)
    for index in range(3):
        flow.run("loop", f"body[{index}]", n=str(index + 7).encode(), d=b"x", more=b"true")
    assert len(flow.begun("loop")) == 3 and flow.child("loop").job.state is JobState.COMPLETED
    other = Flow(stage, {**TURNS, "name": "other", "settings": {"force_rerun": True}})
    other.run("loop", "body[0]", code=1)
    other.run("last")
    cause = other.child("loop").job.cause
    assert cause is not None and cause.message.startswith("The round 'body[0]' failed: The command ended")
    assert other.view().status == "Failed"


def test_rounds_of_items_run_at_once_and_are_gathered(stage: Scene) -> None:
    flow = Flow(stage, EACH)
    assert flow.begun("loop") == ["body[a]", "body[b]"]
    assert flow.run("loop", "body[b]", n=b"0", d=b"of b", more=b"true")["literals"] == {"n": "2"}
    assert flow.begun("loop") == ["body[a]", "body[b]", "body[c]"]
    flow.run("loop", "body[a]", n=b"0", d=b"of a", more=b"true")
    flow.run("loop", "body[c]", n=b"0", d=b"of c", more=b"true")
    table = b'{"paths":[{"folder":"./a"},{"folder":"./b"},{"folder":"./c"}],"type":"mltable"}'
    tree = stage.upload(**{"MLTable": table, "a/x": b"of a", "b/x": b"of b", "c/x": b"of c"})
    counted = data.find(stage.world, HERE, f"azureml://jobs/{flow.child('loop').name}/outputs/n").tree
    assert counted == stage.upload(n=b'{"a":0,"b":0,"c":0}')
    assert data.find(stage.world, HERE, f"azureml://jobs/{flow.child('loop').name}/outputs/d").tree == tree
    assert flow.run("last")["inputs"][0]["tree"] == tree
    assert flow.view().status == "Completed"
    log = steplogs.text(stage.world, stage.row(flow.id))
    assert all(f"loop/body[{one}] is Completed" in log for one in "abc")


def test_a_cancel_reaches_the_rounds_and_a_retry_takes_up_what_is_done(stage: Scene) -> None:
    flow = Flow(stage, EACH)
    flow.run("loop", "body[a]", n=b"0", d=b"of a", more=b"true")
    jobs.cancel(stage.world, HERE, "each", "me", "enough")
    for _ in range(2):
        flow.go_on()
    assert flow.view().status == flow.child("loop").job.state.value == "Canceled"
    assert flow.child("loop", "body[b]").job.state is JobState.CANCELED
    flow.id = submissions.again(stage.world, "me", HERE, "each").job.id
    flow.go_on()
    assert flow.child("loop", "body[a]").reused is not None
    assert flow.child("loop", "body[b]").reused is None


def test_values_that_steps_make_are_given_as_values(stage: Scene) -> None:
    flow = Flow(stage, VALUES)
    assert flow.begun() == ["make"]
    flow.run("make", items=b'[{"n": 1}, {"n": "2"}]', n=b"7\n")
    assert flow.run("file")["inputs"][0]["tree"] == stage.upload(x=b"7\n")
    assert flow.begun("each") == ["body[0]", "body[1]"]
    assert flow.run("each", "body[1]", n=b"5")["literals"] == {"n": "2"}
    assert flow.run("each", "body[0]", n=b"4")["literals"] == {"n": "1"}
    assert flow.run("nested", "in", n=b"8")["literals"] == {"n": "7"}
    assert flow.run("bare")["literals"] == {"n": "8"}
    assert flow.run("last")["literals"] == {"all": "[4,5]"}
    assert flow.view().status == "Completed"
    ask = Submission(definition={**VALUES, "name": None}, only="nested/in", inputs_from="values")
    alone, _ = submissions.accept(stage.world, "me", HERE, ask)
    assert codec.load(alone.work)["literals"] == {"n": "7"}
    with pytest.raises(Invalid, match="It reads the output 'n' of the step 'make', which does not run now") as raised:
        submissions.accept(stage.world, "me", HERE, ask.model_copy(update={"inputs_from": ""}))
    assert raised.value.all_faults()[0].pointer == "/jobs/nested"


@pytest.mark.parametrize(
    ("items", "n", "nested", "each"),
    [
        (
            b"[]",
            b"10",
            "The input 'n': 10 is more than 9",
            "The items that 'make' made: There are no items.",
        ),
        (
            b"[1]",
            b"many",
            "expected a whole number, found 'many'",
            "The items that 'make' made: 1 is no 'input: value'",
        ),
        (b"\xff", b"\xff", "holds nothing that can be read as a value", "holds nothing that can be read as a value"),
    ],
)
def test_a_value_that_does_not_fit_fails_the_step_that_reads_it(
    stage: Scene, items: bytes, n: bytes, nested: str, each: str
) -> None:
    flow = Flow(stage, VALUES)
    flow.run("make", items=items, n=n)
    for step, expected in (("nested", nested), ("each", each)):
        cause = flow.child(step).job.cause
        assert cause is not None and expected in cause.message
    flow.run("file")
    assert flow.view().status == "Failed" and flow.stands()["bare"] == "Skipped"
