"""Submission: what is refused leaves nothing, what is accepted is there, and the same job is the same job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from mayfly.kit.errors import Conflict, Invalid, NotFound, Refused
from mayfly.services import explanations, jobs, quotas, submit
from mayfly.services.places import Place
from mayfly.store import tables
from mayfly.store.jobs import JobRow
from mayfly.testing.world import HERE, Scene
from mayfly.wire import mayfly as wire

NOBODY_THERE = Place("other", "rg", "team")


def send(stage: Scene, who: str = "ann", place: Place = HERE, **changes) -> JobRow:
    return submit.submit(stage.world, who, place, stage.submission(**changes))[0]


def count(stage: Scene, table=tables.jobs) -> int:
    return stage.world.store.read(lambda c: c.scalar(select(func.count()).select_from(table)))


def test_an_accepted_job_is_queued_with_its_words(stage: Scene) -> None:
    sent = stage.submission("echo hi", name="first", tags={"a": "b"}, experiment_name="iris")
    row, created = submit.submit(stage.world, "ann", HERE, sent)
    view = jobs.show(stage.world, HERE, "first")
    assert created
    assert (view.status, view.phase, view.attempt, view.submitter) == ("Queued", "validate", 0, "ann")
    assert view.definition == sent.definition
    assert (view.tags, view.experiment_name, view.display_name) == ({"a": "b"}, "iris", "first")
    assert row.job.id == view.id and len(view.run_id) == 32


def test_the_same_definition_is_the_same_job(stage: Scene) -> None:
    first, created = submit.submit(stage.world, "ann", HERE, stage.submission(name="one", tags={"a": "1"}))
    changed = stage.submission(name="one", tags={"b": "2"}, display_name="Nice", description="words")
    second, again = submit.submit(stage.world, "ann", HERE, changed)
    assert (created, again) == (True, False)
    assert (first.job.id, first.run) == (second.job.id, second.run)
    view = jobs.show(stage.world, HERE, "one")
    assert (view.tags, view.display_name, view.description) == ({"b": "2"}, "Nice", "words")
    assert count(stage) == 1


def test_another_definition_is_refused_and_changes_nothing(stage: Scene) -> None:
    send(stage, name="one")
    with pytest.raises(Conflict) as caught:
        send(stage, name="one", command="echo other", tags={"x": "y"})
    assert caught.value.code == "JobNameTaken" and caught.value.pointer == "/name" and caught.value.remedy
    assert jobs.show(stage.world, HERE, "one").tags == {}


def test_a_race_for_one_name_makes_one_job(stage: Scene) -> None:
    sent = stage.submission(name="one")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: submit.submit(stage.world, "ann", HERE, sent), range(8)))
    assert sum(created for _, created in found) == 1
    assert len({row.job.id for row, _ in found}) == 1
    assert count(stage) == 1


def test_a_job_without_a_name_gets_one_of_its_own(stage: Scene) -> None:
    assert send(stage).name != send(stage).name
    assert count(stage) == 2


@pytest.mark.parametrize(
    ("resources", "code", "says"),
    [
        ({"instance_type": "Standard_D4s_v3", "instance_count": 7}, "JobNodeCountExceedsCoreQuota", "node count is 6"),
        ({"instance_type": "Standard_NC6s_v3"}, "NoQuotaForInstanceType", "no GPU"),
        ({"instance_type": "local_4", "instance_count": 2}, "JobNodeCountExceedsCoreQuota", "node count is 1"),
    ],
)
def test_refused_outcomes_name_the_way_out(stage: Scene, resources: dict, code: str, says: str) -> None:
    with pytest.raises(Refused) as caught:
        send(stage, resources=resources)
    assert caught.value.code == code
    assert says in caught.value.message
    assert "quota" in (caught.value.remedy or "") or "instance_count" in (caught.value.remedy or "")
    assert (caught.value.pointer or "").startswith("/resources/")
    assert count(stage) == 0


def test_outcome_d_is_more_than_the_fleet_could_ever_give(stage: Scene) -> None:
    quotas.update(stage.world, HERE, wire.QuotaUpdate(family="local", limit=100))
    with pytest.raises(Refused) as caught:
        send(stage, resources={"instance_type": "local_4", "instance_count": 2})
    assert caught.value.code == "ExceedsFleet" and "largest possible count is 1" in caught.value.message
    assert count(stage) == 0


def test_outcome_c_is_accepted_with_a_message(stage: Scene) -> None:
    send(stage, resources={"instance_type": "local_4"})
    stage.turn()
    second = send(stage, name="second", resources={"instance_type": "local_4"})
    assert any("waits in Queued" in note for note in second.notes)
    stage.turn()
    view = jobs.show(stage.world, HERE, "second")
    assert (view.status, view.phase) == ("Queued", "quota")


def test_an_unknown_compute_runs_on_serverless_and_says_so(stage: Scene) -> None:
    row = send(stage, compute="azureml:gpu-cluster")
    assert any("'gpu-cluster' is not known here" in note for note in row.notes)
    assert jobs.show(stage.world, HERE, row.name).compute == "serverless"


def test_local_compute_needs_no_quota(stage: Scene) -> None:
    quotas.update(stage.world, HERE, wire.QuotaUpdate(family="local", limit=0))
    with pytest.raises(Refused):
        send(stage, resources={"instance_type": "local_1"})
    row = send(stage, compute="local", resources={"instance_type": "local_1"})
    stage.turn()
    assert jobs.show(stage.world, HERE, row.name).status == "Provisioning"
    assert jobs.show(stage.world, HERE, row.name).compute == "local"


def test_uploads_that_are_not_there_are_named(stage: Scene) -> None:
    with pytest.raises(Invalid) as caught:
        send(stage, code="./src", uploads={"/code": "0" * 64})
    assert caught.value.code == "UploadMissing"
    with pytest.raises(Invalid) as caught:
        send(stage, code="./src")
    assert (caught.value.code, caught.value.pointer) == ("UploadMissing", "/code")
    with pytest.raises(Invalid) as caught:
        send(stage, inputs={"a/b": {"type": "uri_file", "path": "./x"}})
    assert count(stage) == 0


def test_a_tree_whose_files_are_not_there_is_missing_too(stage: Scene) -> None:
    digest = stage.upload(**{"train.py": b"print()"})
    row = send(stage, code="./src", uploads={"/code": digest})
    assert digest in row.work


def test_every_fault_of_a_definition_comes_at_once(stage: Scene) -> None:
    with pytest.raises(Invalid) as caught:
        send(stage, comand="x", resources={"instance_count": "many"})
    assert {fault.pointer for fault in caught.value.all_faults()} >= {"/comand", "/resources/instance_count"}
    assert count(stage) == 0


def test_a_plan_makes_no_job(stage: Scene) -> None:
    told = explanations.plan_submission(stage.world, "ann", HERE, stage.submission())
    assert told.starts_now and told.instance_type and told.instance_type.startswith("local_")
    assert told.candidates[0].chosen and told.place_in_queue == 1 and told.advice is None
    assert (told.capacity_total, told.capacity_held) == (4, 0) and told.capacity_needed >= 1
    assert told.price_per_hour == 0
    assert count(stage) == 0 and count(stage, tables.events) == 0 and count(stage, tables.environments) == 0


def test_a_plan_that_must_wait_says_what_it_needs_and_what_would_help(stage: Scene) -> None:
    send(stage, resources={"instance_type": "local_3"})
    stage.turn()
    ask = stage.submission(resources={"instance_type": "local_4"})
    told = explanations.plan_submission(stage.world, "ann", HERE, ask)
    assert not told.starts_now and told.capacity_needed == 4 and told.capacity_held == 3
    assert told.list_price_per_hour is not None
    assert told.advice is not None and told.advice.set == {"resources.instance_type": "local_1"}


def test_an_emulated_plan_that_must_wait_says_that_it_is_emulated(stage: Scene) -> None:
    send(stage, resources={"instance_type": "local_1"})
    stage.turn()
    ask = stage.submission(resources={"instance_type": "Standard_D8s_v3"})
    told = explanations.plan_submission(stage.world, "ann", HERE, ask)
    assert not told.starts_now and told.emulated and told.capacity_needed == 4


def test_workspaces_do_not_see_each_other(stage: Scene) -> None:
    send(stage, name="mine")
    made = send(stage, name="mine", place=NOBODY_THERE, command="echo other")
    assert any("is new" in note for note in made.notes)
    assert [one.name for one in jobs.page(stage.world, HERE, 10, None, None).jobs] == ["mine"]
    assert jobs.show(stage.world, NOBODY_THERE, "mine").id != jobs.show(stage.world, HERE, "mine").id
    with pytest.raises(NotFound) as caught:
        jobs.show(stage.world, Place("other", "rg", "taem"), "mine")
    assert caught.value.code == "WorkspaceNotFound" and "team" in (caught.value.remedy or "")


def test_an_unknown_job_is_not_found_with_a_near_name(stage: Scene) -> None:
    send(stage, name="training")
    with pytest.raises(NotFound) as caught:
        jobs.show(stage.world, HERE, "trainin")
    assert caught.value.code == "JobNotFound" and "training" in (caught.value.remedy or "")


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "x" * 201, "a\x00b"])
def test_names_of_workspaces_are_plain(stage: Scene, bad: str) -> None:
    with pytest.raises(Invalid) as caught:
        send(stage, place=Place("local", "local", bad))
    assert caught.value.code == "WorkspaceNameInvalid"
