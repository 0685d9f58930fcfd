"""Pipelines in the server: completed with registered components, checked whole."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from mayfly.domain.job import JobState
from mayfly.domain.references import AssetKind
from mayfly.engine.pipelines import Pipelines
from mayfly.kit.errors import Conflict, MayflyError
from mayfly.services import assets, components, data, explanations, jobs, steps, submissions
from mayfly.store import children as children_rows
from mayfly.store import codec, tables
from mayfly.store import jobs as rows
from mayfly.store.jobs import JobRow
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire.agent import OutputManifest
from mayfly.wire.mayfly import JobView, Submission

ENVIRONMENT = {"image": "library/python:latest"}
BODY: dict[str, Any] = {
    "name": "train",
    "command": "echo ${{inputs.n}}",
    "code": "./src",
    "environment": ENVIRONMENT,
    "inputs": {"n": {"type": "integer", "max": 5}},
    "outputs": {"model": {"type": "uri_folder"}},
}


def register(stage: Scene, body: dict[str, Any] = BODY, place: str = "/component/code") -> None:
    ask = Submission(definition={"component": body}, uploads={place: stage.upload(a=b"1")})
    components.create(stage.world, "me", HERE, ask)


def notes(stage: Scene, jobs: dict[str, Any], **keys: Any) -> list[str]:
    ask = Submission(definition={"type": "pipeline", "jobs": jobs, **keys})
    return submissions.notes(stage.world, HERE, ask)


def test_registered_components_are_put_in_their_places(stage: Scene) -> None:
    register(stage)
    inner = {
        "type": "pipeline",
        "name": "inner",
        "inputs": {"n": {"type": "integer"}},
        "jobs": {"fit": {"component": "azureml:train@latest", "inputs": {"n": "${{parent.inputs.n}}"}}},
    }
    components.create(stage.world, "me", HERE, Submission(definition={"component": inner}))
    said = notes(stage, {"outer": {"component": "azureml:inner:1", "inputs": {"n": 2}}}, compute="serverless")
    assert not [note for note in said if "serverless" in note]
    with pytest.raises(MayflyError) as raised:
        notes(stage, {"outer": {"component": "azureml:inner:1", "inputs": {"n": "x"}}})
    assert [fault.pointer for fault in raised.value.all_faults()] == ["/jobs/outer/inputs/n"]


def test_an_archived_component_is_used_only_by_its_version(stage: Scene) -> None:
    register(stage)
    assets.archive(stage.world, HERE, AssetKind.COMPONENT, "train", "1", archived=True)
    assert notes(stage, {"a": {"component": "azureml:train:1", "inputs": {"n": 2}}}) is not None
    with pytest.raises(MayflyError) as raised:
        notes(stage, {"a": {"component": "azureml:train@latest", "inputs": {"n": 2}}})
    (fault,) = raised.value.all_faults()
    assert fault.pointer == "/jobs/a/component" and "archived" in f"{fault.message} {fault.remedy}"


def test_everything_wrong_is_in_one_answer(stage: Scene) -> None:
    register(stage)
    step = {"command": "true", "environment": ENVIRONMENT}
    jobs = {
        "a": {"component": "azureml:trian"},
        "b": {"component": "azureml:train:1", "inputs": {"n": 9}},
    }
    with pytest.raises(MayflyError) as raised:
        notes(stage, jobs)
    found = {(fault.code, fault.pointer) for fault in raised.value.all_faults()}
    assert found == {("AssetNotFound", "/jobs/a/component"), ("InvalidValue", "/jobs/b/inputs/n")}
    jobs = {
        "a": {**step, "resources": {"instance_type": "Standard_Nope"}},
        "b": {**step, "inputs": {"x": {"path": "azureml:nothing:1"}}},
    }
    with pytest.raises(MayflyError) as raised:
        notes(stage, jobs)
    found = {fault.pointer for fault in raised.value.all_faults()}
    assert found == {"/jobs/a/resources/instance_type", "/jobs/b/inputs/x/path"}


def test_what_another_step_will_write_need_not_be_there(stage: Scene) -> None:
    place = "azureml://datastores/workspaceblobstore/paths/kept"
    folder = {"type": "uri_folder", "path": f"{place}/here/x"}
    reads = {"command": "ls ${{inputs.d}}", "environment": ENVIRONMENT, "inputs": {"d": folder}}
    writes = {"command": "true", "environment": ENVIRONMENT, "outputs": {"o": {"path": f"{place}/here"}}}
    said = notes(stage, {"a": writes, "b": {**reads, "depends_on": ["a"]}})
    assert f"b: inputs.d: nothing is at {place}/here/x before the step 'a' has written there" in said
    for elsewhere in ({"o": {"path": f"{place}/there"}}, {"o": {"path": f"{place.replace('kept', '')}${{{{name}}}}"}}):
        with pytest.raises(MayflyError) as raised:
            notes(stage, {"a": {**writes, "outputs": elsewhere}, "b": reads})
        assert (raised.value.code, raised.value.pointer) == ("DataNotFound", "/jobs/b/inputs/d/path")


# --- running ----------------------------------------------------------------------------------------------------------

WRITES = {"command": "true", "environment": ENVIRONMENT, "outputs": {"o": None}}
READS = {"type": "uri_folder", "optional": True}
INNER = {
    "type": "pipeline",
    "inputs": {"raw": {"type": "uri_folder"}, "n": {"type": "integer"}},
    "outputs": {"best": {"type": "uri_folder"}},
    "jobs": {
        "fit": {
            "command": "echo ${{inputs.n}} ${{inputs.d}}",
            "environment": ENVIRONMENT,
            "inputs": {"d": "${{parent.inputs.raw}}", "n": "${{parent.inputs.n}}"},
            "outputs": {"m": "${{parent.outputs.best}}"},
        }
    },
}
NEEDS = {"command": "true", "environment": ENVIRONMENT, "depends_on": ["a"]}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "type": "pipeline",
    "experiment_name": "mine",
    "inputs": {"n": 3, "data": {"type": "uri_folder", "path": "./data"}},
    "outputs": {"model": {"type": "uri_folder"}},
    "jobs": {
        "prep": {**WRITES, "inputs": {"d": "${{parent.inputs.data}}"}},
        "inner": {
            "type": "pipeline",
            "component": INNER,
            "inputs": {"raw": "${{parent.jobs.prep.outputs.o}}", "n": "${{parent.inputs.n}}"},
            "outputs": {"best": "${{parent.outputs.model}}"},
        },
    },
}


class Flow:
    """A pipeline by hand: the duty, the scheduler, and nodes that do what they are told to."""

    def __init__(self, stage: Scene, definition: dict[str, Any], **sent: bytes) -> None:
        self.stage = stage
        uploads = {"/inputs/data/path": stage.upload(**sent)} if sent else {}
        ask = Submission(definition=definition, uploads=uploads)
        self.id = submissions.accept(stage.world, "me", HERE, ask)[0].job.id
        self.duty = Pipelines(stage.world)
        self.duty.work()

    def child(self, *path: str) -> JobRow:
        at = self.id
        for step in path:
            found = self.stage.world.store.read(lambda c, at=at: children_rows.of(c, at))
            at = next(one.id for one in found if one.step == step)
        return self.stage.row(at)

    def begun(self) -> list[str]:
        return [one.step for one in self.stage.world.store.read(lambda c: children_rows.of(c, self.id))]

    def run(self, *path: str, code: int = 0, **made: dict[str, bytes]) -> dict[str, Any]:
        """The step runs and leaves these outputs; what its node was told."""
        self.stage.turn()
        row = self.child(*path)
        (part,) = parts_of(self.stage.world, row.job.id, 1)
        part.prepare()
        outputs = [
            OutputManifest(name=name, tree=self.stage.upload(**files), files=len(files), bytes=1)
            for name, files in made.items()
        ]
        part.tell(part.started(), part.exited(code))
        part.tell(part.collected(outputs=tuple(outputs)))
        part.tell(part.released())
        self.duty.work()
        return codec.load(row.work)

    def view(self) -> JobView:
        return jobs.view_of(self.stage.world, self.id) or pytest.fail("it is gone")


def test_data_flows_through_nested_pipelines_to_their_outputs(stage: Scene) -> None:
    flow = Flow(stage, WHOLE, a=b"1")
    assert flow.begun() == ["prep"]
    sent = flow.run("prep", o={"x": b"1"})
    assert sent["inputs"][0]["tree"] == stage.upload(a=b"1")
    assert flow.begun() == ["prep", "inner"]
    assert flow.child("inner", "fit").experiment == "mine"
    fit = flow.run("inner", "fit", m={"y": b"2"})
    assert (fit["literals"], fit["inputs"][0]["tree"]) == ({"n": "3"}, stage.upload(x=b"1"))
    flow.duty.work()
    view = flow.view()
    assert (view.status, [(one.name, one.tree) for one in view.outputs]) == (
        "Completed",
        [("model", stage.upload(y=b"2"))],
    )
    assert [(one.name, one.status, [s.name for s in one.steps]) for one in view.steps] == [
        ("prep", "Completed", []),
        ("inner", "Completed", ["fit"]),
    ]
    found = data.find(stage.world, HERE, "azureml://jobs/whole/outputs/model")
    lying = data.find(stage.world, HERE, "azureml://datastores/workspaceblobstore/paths/azureml/whole/model")
    assert lying.tree == found.tree
    assert found.tree == stage.upload(y=b"2")
    assert [one.name for one in jobs.page(stage.world, HERE, 9, None, None).jobs] == ["whole"]
    assert [one.step for one in jobs.page(stage.world, HERE, 9, None, None, parent="whole").jobs] == ["inner", "prep"]


def test_the_steps_of_every_level_are_shown_as_they_were_written(stage: Scene) -> None:
    inner = {"type": "pipeline", "jobs": {"z": WRITES, "a": {**WRITES, "depends_on": ["z"]}}}
    flow = Flow(stage, {"type": "pipeline", "jobs": {"y": {"type": "pipeline", "component": inner}, "b": inner}})
    assert [(one.name, [s.name for s in one.steps]) for one in flow.view().steps] == [
        ("y", ["z", "a"]),
        ("b", ["z", "a"]),
    ]


def test_a_pipeline_that_cannot_be_read_holds_up_no_other(stage: Scene) -> None:
    graph = {"type": "pipeline", "settings": {"force_rerun": True}, "jobs": {"a": WRITES, "b": NEEDS}}
    broken, sound = (Flow(stage, {**graph, "name": name}) for name in ("broken", "sound"))
    spoil = update(tables.jobs).where(tables.jobs.c.id == broken.id).values(work="{}")
    stage.world.store.write(lambda unit: unit.connection.execute(spoil) and None)
    sound.duty = Pipelines(stage.world)
    sound.run("a", o={"x": b"1"})
    assert sound.begun() == ["a", "b"]
    assert sound.duty.work() is not None  # the other is looked at again


def test_a_step_is_begun_once_whoever_asks_again(stage: Scene) -> None:
    flow = Flow(stage, {**WHOLE, "name": "x"}, a=b"1")
    plan = steps.plan_of(stage.world, stage.row(flow.id))
    for _ in range(2):
        begun = steps.start(stage.world, plan, "prep", {})
        assert begun is not None and begun.state is JobState.QUEUED
        Pipelines(stage.world).work()
    assert flow.begun() == ["prep"]


def test_what_can_go_on_without_a_failed_step_goes_on(stage: Scene) -> None:
    reads = {"environment": ENVIRONMENT, "command": "echo $[[${{inputs.d}}]]", "inputs": {"d": READS}}
    bound = {"d": "${{parent.jobs.a.outputs.o}}"}
    needs = {"environment": ENVIRONMENT, "command": "echo ${{inputs.d}}", "inputs": bound}
    graph = {"a": WRITES, "b": {"component": reads, "inputs": bound}, "c": needs}
    flow = Flow(stage, {"type": "pipeline", "jobs": graph})
    flow.run("a", code=3)
    assert flow.begun() == ["a", "b"]
    assert flow.run("b")["command"] == "echo "
    view = flow.view()
    assert [(one.name, one.status) for one in view.steps] == [("a", "Failed"), ("b", "Completed"), ("c", "Skipped")]
    assert view.status == "Failed" and view.error is not None
    assert view.error.message == "The step 'a' failed: The command ended with exit status 3. Not run: c."


def test_one_failure_stops_all_where_that_is_asked_for(stage: Scene) -> None:
    graph = {"a": WRITES, "b": {**WRITES, "command": "echo"}, "c": {**WRITES, "depends_on": ["b"]}}
    flow = Flow(stage, {"type": "pipeline", "jobs": graph, "settings": {"continue_on_step_failure": False}})
    flow.run("a", code=1)
    assert flow.child("b").job.cause is not None
    flow.duty.work()
    assert [(one.name, one.status) for one in flow.view().steps] == [
        ("a", "Failed"),
        ("b", "Canceled"),
        ("c", "Skipped"),
    ]


def test_a_cancel_reaches_every_level(stage: Scene) -> None:
    flow = Flow(stage, {**WHOLE, "name": "down"}, a=b"1")
    flow.run("prep", o={"x": b"1"})
    flow.duty.work()
    assert flow.child("inner", "fit").job.state is JobState.QUEUED
    jobs.cancel(stage.world, HERE, "down", "me", "enough")
    fit = flow.child("inner", "fit").job
    assert fit.cause is not None and fit.state is JobState.CANCELED and "enough" in fit.cause.message
    flow.duty.work()
    flow.duty.work()
    assert flow.view().status == flow.child("inner").job.state.value == "Canceled"


def test_a_step_that_cannot_be_accepted_is_a_failed_child(stage: Scene) -> None:
    second = {
        "environment": ENVIRONMENT,
        "command": "echo ${{inputs.d}}",
        "inputs": {"d": "${{parent.jobs.a.outputs.o}}"},
    }
    flow = Flow(stage, {"type": "pipeline", "jobs": {"a": WRITES, "b": second}})
    flow.run("a")  # and leaves nothing
    failed = flow.child("b").job
    assert failed.cause is not None and (failed.state, failed.cause.code) == (JobState.FAILED, "OutputNotFound")
    assert flow.view().status == "Failed"


# --- reuse ------------------------------------------------------------------------------------------------------------

CODE = {"command": "python t.py ${{inputs.n}}", "code": "./src", "environment": ENVIRONMENT, "outputs": {"o": None}}
READER = {"command": "cat ${{inputs.d}}", "environment": ENVIRONMENT, "inputs": {"d": "${{parent.jobs.one.outputs.o}}"}}


def two_steps(**one: Any) -> dict[str, Any]:
    return {"type": "pipeline", "jobs": {"one": {**CODE, "inputs": {"n": 1}, **one}, "two": READER}}


class Again:
    """The same two steps, over and over, with one thing changed."""

    def __init__(self, stage: Scene) -> None:
        self.stage = stage

    def __call__(self, made: bytes = b"same", code: bytes = b"pass", **keys: Any) -> tuple[list[str], Flow]:
        """Which steps ran, after all have ended; what step one makes is `made`."""
        settings = {"settings": keys.pop("settings", {})}
        flow = Flow.__new__(Flow)
        flow.stage = self.stage
        definition = {**two_steps(**keys), **settings}
        ask = Submission(definition=definition, uploads={"/jobs/one/code": self.stage.upload(**{"t.py": code})})
        flow.id = submissions.accept(self.stage.world, "me", HERE, ask)[0].job.id
        flow.duty = Pipelines(self.stage.world)
        flow.duty.work()
        ran = []
        for step, left in (("one", {"o": {"x": made}}), ("two", {})):
            if flow.child(step).reused is None:
                ran.append(step)
                flow.run(step, **left)
        assert flow.view().status == "Completed"
        return ran, flow


def explained(flow: Flow, step: str) -> str:
    return explanations.explain(flow.stage.world, HERE, flow.child(step).name).sentence


def test_exactly_what_changed_runs_again(stage: Scene) -> None:
    again = Again(stage)
    assert again()[0] == ["one", "two"]
    ran, flow = again()
    assert ran == [] and stage.provider.machines.created
    one = jobs.view_of(stage.world, flow.child("one").job.id)
    assert one is not None and one.properties["azureml.isreused"] == "true" and one.attempt == 0
    assert [(output.name, output.tree) for output in one.outputs] == [("o", stage.upload(x=b"same"))]
    assert "did the same" in explained(flow, "one")
    assert again(settings={"force_rerun": True})[0] == ["one", "two"]
    assert again(is_deterministic=False)[0] == ["one"]
    changes: list[tuple[dict[str, Any], list[str], str]] = [
        ({"code": b"pass\nprint(1)"}, ["one"], "t.py has changed, first in line 2: 'print(1)'"),
        ({"inputs": {"n": 2}}, ["one"], "n was '1' and is '2'"),
        ({"inputs": {"n": 3}, "made": b"other"}, ["one", "two"], "and is '3'"),
        ({"environment": {"image": "library/python:3.11"}}, ["one"], "its environment differs"),
        ({"environment_variables": {"A": "1"}}, ["one"], "environment_variables was"),
        ({"queue_settings": {"priority": "high"}}, [], ""),
        ({"display_name": "called otherwise"}, [], ""),
    ]
    for change, expected, why in changes:
        ran, flow = again(**change)
        assert ran == expected, change
        assert why in explained(flow, "one")
    assert "the input 'd' has another content (x has changed" in explained(
        again(inputs={"n": 9}, made=b"third")[1], "two"
    )


def test_the_same_step_under_way_is_waited_for(stage: Scene) -> None:
    flow = Flow(stage, {"type": "pipeline", "jobs": {"a": WRITES, "b": WRITES}})
    other = Flow(stage, {"type": "pipeline", "jobs": {"z": WRITES}})
    assert (flow.begun(), other.begun()) == (["a"], [])
    flow.run("a", o={"x": b"1"})
    other.duty.work()
    assert flow.view().status == other.view().status == "Completed"
    assert flow.child("b").reused == other.child("z").reused == flow.child("a").job.id


def test_a_failed_pipeline_goes_on_from_where_it_failed(stage: Scene) -> None:
    graph = {"a": WRITES, "b": {**WRITES, "command": "false", "depends_on": ["a"]}}
    flow = Flow(stage, {"name": "first", "type": "pipeline", "jobs": graph})
    with pytest.raises(Conflict) as raised:
        submissions.again(stage.world, "me", HERE, "first")
    assert raised.value.code == "JobNotFailed"
    flow.run("a", o={"x": b"1"})
    flow.run("b", code=1)
    with pytest.raises(MayflyError) as refused:
        submissions.again(stage.world, "me", HERE, flow.child("b").name)
    assert "mayfly job retry -n first" in str(refused.value.remedy)
    row = submissions.again(stage.world, "me", HERE, "first")
    assert (row.properties["mayfly.retryOf"], row.name != "first") == ("first", True)
    flow.id = row.job.id
    flow.duty.work()
    assert (flow.begun(), flow.child("a").reused is None, flow.child("b").reused) == (["a", "b"], False, None)


# --- one step alone ---------------------------------------------------------------------------------------------------


def alone(stage: Scene, step: str, former: str = "", **keys: Any) -> JobRow:
    uploads = {"/inputs/data/path": stage.upload(a=b"1")}
    ask = Submission(definition={**WHOLE, "name": None, **keys}, uploads=uploads, only=step, inputs_from=former)
    return submissions.accept(stage.world, "me", HERE, ask)[0]


def test_one_step_runs_alone_with_what_former_steps_made(stage: Scene) -> None:
    flow = Flow(stage, WHOLE, a=b"1")
    flow.run("prep", o={"x": b"1"})
    row = alone(stage, "inner.fit", "whole")
    assert (row.type, row.parent, row.experiment, row.display_name) == ("command", None, "mine", "inner/fit")
    work = codec.load(row.work)
    assert (work["literals"], work["inputs"][0]["tree"]) == ({"n": "3"}, stage.upload(x=b"1"))
    assert row.properties["mayfly.inputsFrom"] == "whole" and row.name != "whole"
    assert alone(stage, "inner", "whole", name="again").type == rows.PIPELINE
    prep = codec.load(alone(stage, "prep").work)
    assert prep["inputs"][0]["tree"] == stage.upload(a=b"1")
    ask = Submission(definition={**WHOLE, "name": None}, uploads={}, only="inner/fit", inputs_from="whole")
    assert submissions.planned(stage.world, "me", HERE, ask).instance_type


@pytest.mark.parametrize(
    ("step", "former", "code", "pointer", "said"),
    [
        ("inner/fit", "", "InputNotMade", "/jobs/inner/component/jobs/fit/inputs/d", "--inputs-from JOB"),
        ("inner", "whole", "InputNotMade", "/jobs/inner/inputs/raw", "in which it is Completed"),
        ("inner/fti", "", "StepUnknown", None, "Did you mean 'inner/fit'?"),
        ("prep/x", "", "StepUnknown", None, ""),
        ("prep", "whol", "JobNotFound", None, "Did you mean 'whole'?"),
        ("", "whole", "StepMissing", None, "--only STEP"),
    ],
)
def test_a_step_that_cannot_run_alone_says_what_would_help(
    stage: Scene, step: str, former: str, code: str, pointer: str | None, said: str
) -> None:
    Flow(stage, WHOLE, a=b"1")
    with pytest.raises(MayflyError) as raised:
        alone(stage, step, former)
    (fault,) = raised.value.all_faults()
    assert (fault.code, fault.pointer) == (code, pointer)
    assert said in (fault.remedy or "")


def test_faults_of_a_step_alone_stand_where_they_were_written(stage: Scene) -> None:
    prep = {**WRITES, "inputs": {"d": {"path": "azureml:nothing:1"}}}
    with pytest.raises(MayflyError) as raised:
        alone(stage, "prep", jobs={**WHOLE["jobs"], "prep": prep})
    assert [one.pointer for one in raised.value.all_faults()] == ["/jobs/prep/inputs/d/path"]
