"""Pipelines in the server: completed with registered components, checked whole, carried on."""

from __future__ import annotations

from typing import Any

import pytest
from flow_by_hand import ENVIRONMENT, NEEDS, READS, WHOLE, WRITES, Flow
from sqlalchemy import update

from mayfly.domain.job import Cause, JobState
from mayfly.domain.references import AssetKind
from mayfly.engine.pipelines import Pipelines
from mayfly.kit.errors import MayflyError
from mayfly.services import assets, components, data, jobs, steps, submissions
from mayfly.store import events, tables
from mayfly.testing.world import HERE, Scene
from mayfly.wire.mayfly import Submission

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
        "c": {"component": "azureml:trian"},
    }
    with pytest.raises(MayflyError) as raised:
        notes(stage, jobs)
    found = {fault.pointer for fault in raised.value.all_faults()}
    assert found == {"/jobs/a/resources/instance_type", "/jobs/b/inputs/x/path", "/jobs/c/component"}


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


def test_a_step_is_canceled_once_with_its_pipeline_and_with_all_others(stage: Scene) -> None:
    flow = Flow(stage, {"type": "pipeline", "jobs": {"a": WRITES}})
    stage.turn()
    step = flow.child("a").job.id
    jobs.cancel_all(stage.world, [flow.id, step], Cause("CanceledByServer", "The server stops."))
    told = stage.world.store.read(lambda connection: events.of(connection, step))
    assert [one.type for one in told].count("CancelAsked") == 1
    assert flow.child("a").job.state is JobState.CANCELED


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
