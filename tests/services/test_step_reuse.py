"""Steps that have the results of earlier ones, and why others ran."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
from flow_by_hand import ENVIRONMENT, WHOLE, WRITES, Flow
from sqlalchemy import event

from mayfly.domain.job import JobState
from mayfly.domain.references import AssetKind
from mayfly.engine.pipelines import Pipelines
from mayfly.engine.resolving import Resolving
from mayfly.kit.errors import Conflict, MayflyError
from mayfly.services import assets, data, explanations, jobs, lineages, steps, submissions
from mayfly.services.assets import NewAsset
from mayfly.store import children as children_rows
from mayfly.store import codec
from mayfly.store.jobs import JobRow
from mayfly.testing.world import HERE, Scene
from mayfly.wire.mayfly import Submission

CODE = {"command": "python t.py ${{inputs.n}}", "code": "./src", "environment": ENVIRONMENT, "outputs": {"o": None}}
READER = {"command": "cat ${{inputs.d}}", "environment": ENVIRONMENT, "inputs": {"d": "${{parent.jobs.one.outputs.o}}"}}


def two_steps(**one: Any) -> dict[str, Any]:
    return {"type": "pipeline", "jobs": {"one": {**CODE, "inputs": {"n": 1}, **one}, "two": READER}}


def conda(*packages: str) -> dict[str, Any]:
    pip = {"pip": list(packages)}
    return {**ENVIRONMENT, "conda_file": {"dependencies": ["python=3", "pip", pip]}}


class Again:
    """The same two steps, over and over, with one thing changed."""

    def __init__(self, stage: Scene) -> None:
        self.stage = stage

    def __call__(
        self, made: bytes = b"same", code: bytes = b"pass", beside: bytes = b"", **keys: Any
    ) -> tuple[list[str], Flow]:
        """Which steps ran, after all have ended; what step one makes is `made`; `beside` is what it includes."""
        settings = {"settings": keys.pop("settings", {})}
        flow = Flow.__new__(Flow)
        flow.stage = self.stage
        definition = {**two_steps(**keys), **settings}
        files = {"t.py": code, **({"lib/u.py": beside} if beside else {})}
        ask = Submission(definition=definition, uploads={"/jobs/one/code": self.stage.upload(**files)})
        flow.id = submissions.accept(self.stage.world, "me", HERE, ask)[0].job.id
        flow.duty = Pipelines(self.stage.world)
        flow.duty.work()
        Resolving(self.stage.world).work()
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
        ({"beside": b"x = 1"}, ["one"], "lib/u.py is new"),
        ({"beside": b"x = 2"}, ["one"], "lib/u.py has changed, first in line 1: 'x = 2'"),
        ({"environment": conda("numpy==2.0.1")}, ["one"], "with numpy==2.0.1"),
        ({"environment": conda("numpy==2.0.2")}, ["one"], "without numpy==2.0.1, with numpy==2.0.2"),
        ({"environment_variables": {"A": "1"}}, ["one"], "environment_variables was"),
        ({"limits": {"timeout": 60}}, ["one"], "limits was"),
        ({"resources": {"shm_size": "1g"}}, ["one"], "resources was"),
        ({"resources": {"instance_count": 2}}, ["one"], "resources was"),
        ({"outputs": {"o": {"mode": "upload"}}}, ["one"], "its outputs differ"),
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


def test_a_component_says_whether_its_steps_may_be_had_again(stage: Scene) -> None:
    reused = []
    for deterministic in (True, False, True):
        body = {**WRITES, "outputs": {"o": {"type": "uri_folder"}}, "is_deterministic": deterministic}
        flow = Flow(stage, {"type": "pipeline", "jobs": {"one": {"component": body}}})
        reused.append(flow.child("one").reused is not None)
        if not reused[-1]:
            flow.run("one", o={"x": b"1"})
    assert reused == [False, False, True]


def test_it_is_told_what_a_reused_step_read_and_what_comes_after_it(stage: Scene) -> None:
    """As of one that ran, and each address can be read."""

    def told(row: JobRow) -> dict[str, tuple[str, str | None]]:
        return {link.name: (link.reference, link.tree) for link in lineages.of_job(stage.world, HERE, row.name)}

    assets.register(
        stage.world, "me", HERE, NewAsset(AssetKind.DATA, "rows", "1", "uri_folder", tree=stage.upload(r=b"2"))
    )
    for name, changed in (("first", {}), ("second", {"environment_variables": {"A": "1"}})):
        prep = {**WRITES, "inputs": {"d": "${{parent.inputs.data}}", "rows": {"path": "azureml:rows@latest"}}}
        fit = {
            **READER,
            "inputs": {"d": "${{parent.jobs.prep.outputs.o}}"},
            "outputs": {"m": "${{parent.outputs.model}}"},
        }
        graph = {key: WHOLE[key] for key in ("type", "inputs", "outputs")} | {
            "jobs": {"prep": prep, "fit": {**fit, **changed}}
        }
        flow = Flow(stage, {**graph, "name": name}, a=b"1")
        if not changed:
            flow.run("prep", o={"x": b"1"})
        flow.run("fit", m={"y": b"1"})
        step, made = flow.child("prep"), flow.child("fit")
        assert (step.reused is not None, made.reused) == (bool(changed), None)
        sent = f"azureml://datastores/workspaceblobstore/paths/LocalUpload/{stage.upload(a=b'1')}/data"
        assert told(step)["d"] == (sent, stage.upload(a=b"1"))
        assert told(step)["rows"] == ("azureml:rows:1", stage.upload(r=b"2"))
        assert told(made)["d"] == (f"azureml://jobs/{step.name}/outputs/o", stage.upload(x=b"1"))
        whole = told(stage.row(flow.id))
        assert whole["data"] == (sent, stage.upload(a=b"1")) and whole["model"][1] == stage.upload(y=b"1")
        for reference, tree in (*told(step).values(), *told(made).values(), *whole.values()):
            assert tree in (None, data.find(stage.world, HERE, reference).tree)


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


def test_a_chain_that_was_done_is_kept_in_few_units(stage: Scene) -> None:
    """A step costs a statement or two, however long the chain: each next one is foreseen from what will be there."""
    graph = {"s0": {**READER, "command": "true", "inputs": {}, "outputs": {"o": None}}}
    for number in range(1, 40):
        reads = {"d": f"${{{{parent.jobs.s{number - 1}.outputs.o}}}}"}
        graph[f"s{number}"] = {**READER, "inputs": reads, "outputs": {"o": None}}
    first = Flow(stage, {"type": "pipeline", "jobs": {name: graph[name] for name in ("s0", "s1")}})
    for name in ("s0", "s1"):
        first.run(name, o={"x": b"same"})
    units, statements = [0], [0]
    event.listen(stage.world.store.engine, "commit", lambda *_: units.__setitem__(0, units[0] + 1))
    event.listen(
        stage.world.store.engine, "before_cursor_execute", lambda *_: statements.__setitem__(0, statements[0] + 1)
    )
    flow = Flow(stage, {"type": "pipeline", "jobs": graph})
    view = flow.view()
    assert (view.status, {one.reused for one in view.steps}) == ("Completed", {True})
    assert [one.name for one in view.steps] == flow.begun() == list(graph)
    assert statements[0] < 40 * 3.5
    last = data.find(stage.world, HERE, f"azureml://jobs/{flow.child('s39').name}/outputs/o")
    assert last.tree == stage.upload(x=b"same")
    assert codec.load(flow.child("s39").work)["inputs"][0]["address"].endswith(f"{flow.child('s38').name}/outputs/o")


def test_a_step_costs_the_same_however_many_stand_beside_it(stage: Scene) -> None:
    step = {**READER, "command": "true", "inputs": {}}
    Flow(stage, {"type": "pipeline", "jobs": {"s0": step}}).run("s0")
    looks = []
    for wide in (50, 400):
        jobs = {f"s{number}": step for number in range(wide)}
        submissions.accept(stage.world, "me", HERE, Submission(definition={"type": "pipeline", "jobs": jobs}))
        duty, calls = Pipelines(stage.world), Counter[str]()
        sys.setprofile(lambda frame, _what, _that, seen=calls: seen.update((frame.f_code.co_name,)))
        duty.work()
        sys.setprofile(None)
        looks.append(calls["kind"] / wide)
    assert looks[1] == pytest.approx(looks[0], rel=0.05)


def test_a_step_whose_place_is_taken_stops_what_was_foreseen_after_it(stage: Scene) -> None:
    """A stranger has the name that the second step would have."""
    graph = {"one": {**CODE, "code": None, "inputs": {"n": 1}}, "two": READER}
    done = Flow(stage, {"type": "pipeline", "jobs": graph})
    done.run("one", o={"x": b"same"})
    done.run("two")
    row, _ = submissions.accept(stage.world, "me", HERE, Submission(definition={"type": "pipeline", "jobs": graph}))
    name = steps.child_name(row, "two")
    submissions.accept(stage.world, "me", HERE, stage.submission(name=name))
    Pipelines(stage.world).work()
    stands = {
        one.step: (one.state, one.cause) for one in stage.world.store.read(lambda c: children_rows.of(c, row.job.id))
    }
    assert stands["one"] == (JobState.COMPLETED, None)
    state, cause = stands["two"]
    assert cause is not None and (state, cause.code) == (JobState.FAILED, "JobNameTaken")
