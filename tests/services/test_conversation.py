"""What agents tell, in every order it can come: only the holder of the fence moves a job, and quota is conserved."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from mayfly.domain.job import Cause
from mayfly.engine.watching import watch
from mayfly.kit.errors import Forbidden, Invalid, NotFound
from mayfly.services import jobs, logs, submit
from mayfly.services.attempts import context_of
from mayfly.services.nodes import WishBook
from mayfly.store import attempts, events, ledgers, nodes, tables
from mayfly.store import jobs as store_jobs
from mayfly.store.unit import Unit
from mayfly.testing.agent import Agent, Part, parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire import agent as wire

ONE = {"instance_type": "local_1"}
GANG = {"instance_type": "local_1", "instance_count": 3}


def start(stage: Scene, name: str = "one", **changes) -> list[Part]:
    """A job with its attempt placed and its nodes greeted."""
    sent = stage.submission(name=name, **{"resources": ONE, **changes})
    row, _ = submit.submit(stage.world, "ann", HERE, sent)
    stage.turn()
    return parts_of(stage.world, row.job.id, 1)


def status(stage: Scene, name: str = "one") -> str:
    return jobs.show(stage.world, HERE, name).status


def error(stage: Scene, name: str = "one") -> str | None:
    found = jobs.show(stage.world, HERE, name).error
    return None if found is None else found.code


def held(stage: Scene) -> int:
    return stage.world.store.read(lambda c: ledgers.capacity_held(c, "local")).cores


def test_a_job_from_greeting_to_nothing_left(stage: Scene) -> None:
    (part,) = start(stage)
    wish = part.agent.wish()
    assert (wish.action, wish.fence) == ("prepare", part.fence)
    assert wish.assignment is not None and wish.assignment.command == "echo hello"
    steps = []
    for fact in (
        part.phase("environment"),
        part.phase("inputs"),
        part.ready(),
        part.started(),
        part.exited(),
        part.collected(outputs=(wire.OutputManifest(name="default", tree="0" * 64, files=2, bytes=9),)),
    ):
        stage.clock.advance(100)
        part.tell(fact)
        view = jobs.show(stage.world, HERE, "one")
        steps.append((view.status, view.phase))
    assert steps == [
        ("Preparing", "environment"),
        ("Preparing", "inputs"),
        ("Running", "run"),
        ("Running", "run"),
        ("Finalizing", "outputs"),
        ("Completed", "release"),
    ]
    assert part.agent.wish().action == "discard" and held(stage) == 1
    part.tell(part.released())
    assert part.agent.wishes().attempts == () and held(stage) == 0
    view = jobs.show(stage.world, HERE, "one")
    assert view.exit_codes == [0] and view.isolation == "none" and view.limits_enforced == ["cpu"]
    assert [(one.name, one.files, one.bytes) for one in view.outputs] == [("default", 2, 9)]
    assert sum(one.milliseconds for one in view.phases) == 600


def test_the_go_names_every_rank_and_is_given_once(stage: Scene) -> None:
    parts = start(stage, resources=GANG)
    for part in parts[:2]:
        part.prepare()
        assert part.agent.wish().action == "prepare"
    assert status(stage) == "Provisioning", "a gang is where its slowest node is"
    parts[2].prepare()
    wishes = [part.agent.wish() for part in parts]
    assert [wish.action for wish in wishes] == ["run"] * 3
    peers = tuple(wire.Peer(address=f"10.0.0.{rank}", ports=(4000,)) for rank in range(3))
    assert [wish.go for wish in wishes] == [wire.Go(peers=peers)] * 3
    parts[0].tell(wire.Ready(fence=parts[0].fence, rank=0, at=1, address="elsewhere", ports=(1,)))
    assert parts[1].agent.wish().go == wishes[0].go
    assert [wish.assignment.rank for wish in wishes if wish.assignment] == [0, 1, 2]
    for part in parts:
        part.finish()
    assert status(stage) == "Completed" and held(stage) == 0


def test_a_failed_peer_stops_the_others(stage: Scene) -> None:
    parts = start(stage, resources=GANG)
    for part in parts:
        part.prepare()
    parts[1].tell(parts[1].started(), parts[1].exited(3))
    assert [part.agent.wish().action for part in parts] == ["stop", "run", "stop"]
    assert parts[0].agent.wish().stop_reason == "peer"
    for part in (parts[0], parts[2]):
        part.tell(part.started(), part.exited(143, before_stop=False))
    for part in parts:
        part.tell(part.collected(), part.released())
    view = jobs.show(stage.world, HERE, "one")
    assert view.status == "Failed" and view.error is not None and "status 3 on node 1" in view.error.message
    assert held(stage) == 0


def test_doubled_reports_change_nothing(stage: Scene) -> None:
    (part,) = start(stage)
    facts = [part.phase("environment"), part.ready(), part.started(), part.exited(2), part.collected(), part.released()]
    for fact in facts:
        part.tell(fact)
        before = len(stage.world.store.read(lambda c: events.of(c, part.fence.job)))
        part.tell(fact, fact)
        assert len(stage.world.store.read(lambda c: events.of(c, part.fence.job))) == before
    for fact in facts:
        part.tell(fact)
    assert status(stage) == "Failed" and error(stage) == "UserProcessFailed" and held(stage) == 0


@pytest.mark.parametrize("late", ["phase", "ready", "started", "exited", "collected", "unprepared"])
def test_a_late_fact_is_kept_and_revises_nothing(stage: Scene, late: str) -> None:
    (part,) = start(stage)
    jobs.cancel(stage.world, HERE, "one", "ann", "")
    assert status(stage) == "Canceled"
    fact = part.phase("inputs") if late == "phase" else getattr(part, late)()
    part.tell(fact)
    assert (status(stage), error(stage)) == ("Canceled", "CanceledByUser")
    kept = stage.world.store.read(lambda c: c.scalar(select(tables.ranks.c.late)))
    assert kept is not None and part.fence.job in kept
    part.tell(part.released())
    assert held(stage) == 0


@pytest.mark.parametrize("change", [{"attempt": 2}, {"epoch": 2}, {"job": "job_unknown"}])
def test_another_fence_moves_nothing(stage: Scene, change: dict) -> None:
    (part,) = start(stage)
    fence = wire.Fence(**{"job": part.fence.job, "attempt": 1, "epoch": part.fence.epoch, **change})
    stranger = Part(part.agent, fence, 0)
    for fact in (stranger.ready(), stranger.exited(1), stranger.collected()):
        stranger.tell(fact)
    assert status(stage) == "Provisioning"


def test_another_node_cannot_speak_for_a_rank(stage: Scene) -> None:
    (part,) = start(stage)
    (other,) = start(stage, "two")
    for fact in (part.ready(), part.exited(1), part.collected(), part.released()):
        other.agent.report(fact)
    assert status(stage) == "Provisioning" and held(stage) == 2
    other.agent.report(wire.Ready(fence=part.fence, rank=5, at=1, address="x"))
    with pytest.raises(NotFound):
        logs.append(stage.world, other.agent.node, part.fence.job, 1, 0, "user_logs/std_log.txt", 0, b"forged")


def test_a_batch_of_reports_is_whole_or_not_there(stage: Scene) -> None:
    (part,) = start(stage)
    part.tell(part.phase("environment"), part.phase("inputs"), part.ready(), part.started(), part.exited())
    assert status(stage) == "Finalizing"


def test_an_unknown_phase_is_passed_over(stage: Scene) -> None:
    (part,) = start(stage)
    part.tell(part.phase("dancing"), part.phase("quota"), part.phase("environment"))
    assert jobs.show(stage.world, HERE, "one").phase == "environment"


def test_how_far_a_phase_is_can_be_seen_and_costs_no_write(stage: Scene) -> None:
    (part,) = start(stage)
    (other,) = start(stage, "two")

    def shown() -> tuple[str, str]:
        view = jobs.show(stage.world, HERE, "one")
        return view.phase, view.phase_detail

    part.tell(part.phase("environment", "3 of 10 packages"))
    assert shown() == ("environment", "3 of 10 packages")
    part.tell(part.phase("inputs"))
    assert shown() == ("inputs", "")
    woken, listener = stage.world.wakeups.on_thread([f"job:{part.fence.job}"])
    before = stage.row(part.fence.job)
    part.tell(part.phase("inputs", "d: 1 of 2 files"), part.phase("inputs", "d: 2 of 2 files"))
    assert shown() == ("inputs", "d: 2 of 2 files") and woken.is_set() and stage.row(part.fence.job) == before
    listener.close()
    other.agent.report(part.phase("inputs", "forged"))
    assert shown() == ("inputs", "d: 2 of 2 files")
    part.tell(part.ready())
    part.tell(part.phase("inputs", "late"))
    assert shown()[1] == ""


def test_a_preparation_that_fails_ends_the_job_with_its_words(stage: Scene) -> None:
    parts = start(stage, resources=GANG)
    parts[0].tell(parts[0].unprepared("EnvironmentBuildFailed"))
    assert (status(stage), error(stage)) == ("Failed", "EnvironmentBuildFailed")
    assert {part.agent.wish().action for part in parts} == {"discard"}
    for part in parts:
        assert held(stage) == 3
        part.tell(part.released())
    assert held(stage) == 0


def test_a_collection_that_fails_fails_the_job(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started(), part.exited(), part.collected(code="OutputsUnreadable", message="No."), part.released())
    assert (status(stage), error(stage)) == ("Failed", "OutputsUnreadable")


def test_memory_and_lost_supervisors_have_their_own_causes(stage: Scene) -> None:
    for name, changes, code in (
        ("one", {"exits": (wire.ProcessExit(process=0, code=137, oom=True),)}, "OutOfMemory"),
        ("two", {"exits": (), "lost": "its supervisor was killed"}, "SupervisorLost"),
    ):
        (part,) = start(stage, name)
        part.prepare()
        part.tell(part.started(), part.exited(**changes), part.collected(), part.released())
        assert (status(stage, name), error(stage, name)) == ("Failed", code)


def test_a_command_that_runs_too_long_is_canceled_by_its_limit(stage: Scene) -> None:
    (part,) = start(stage, limits={"timeout": 60})
    part.prepare()
    wish = part.agent.wish()
    assert wish.assignment is not None and wish.assignment.limits.timeout_s == 60
    part.tell(part.started(), part.exited(143, timed_out=True))
    part.tell(part.collected())
    assert (status(stage), error(stage)) == ("Canceled", "JobTimedOut")
    part.tell(part.released())


# --- cancel -----------------------------------------------------------------------------------------------------------


def cancel(stage: Scene) -> None:
    jobs.cancel(stage.world, HERE, "one", "ann", "not needed")


def test_a_waiting_job_is_canceled_at_once(stage: Scene) -> None:
    submit.submit(stage.world, "ann", HERE, stage.submission(name="one"))
    cancel(stage)
    assert status(stage) == "Canceled"
    assert stage.provider.machines.created == []
    stage.turn()
    assert status(stage) == "Canceled" and held(stage) == 0


TOLD: dict[str, Callable[[Part], None]] = {
    "Provisioning": lambda part: None,
    "Preparing": lambda part: part.tell(part.phase("inputs")),
}


@pytest.mark.parametrize("state", TOLD)
def test_a_cancel_before_the_start_prevents_it(stage: Scene, state: str) -> None:
    (part,) = start(stage)
    TOLD[state](part)
    assert status(stage) == state
    cancel(stage)
    assert status(stage) == "Canceled"
    part.tell(part.ready())
    wish = part.agent.wish()
    assert (wish.action, wish.go) == ("discard", None)
    part.tell(part.released())


def test_a_cancel_of_a_running_job_stops_it(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started())
    cancel(stage)
    assert (status(stage), part.agent.wish().action) == ("CancelRequested", "stop")
    cancel(stage)
    part.tell(part.exited(143, before_stop=False), part.collected())
    assert (status(stage), error(stage)) == ("Canceled", "CanceledByUser")
    part.tell(part.released())


def test_a_result_that_was_there_before_the_cancel_stands(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started())
    cancel(stage)
    part.tell(part.exited(0, before_stop=True), part.collected(), part.released())
    assert (status(stage), error(stage)) == ("Completed", None)


def test_a_cancel_while_outputs_are_collected_comes_too_late(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started(), part.exited(0))
    cancel(stage)
    assert status(stage) == "Finalizing"
    part.tell(part.collected(), part.released())
    cancel(stage)
    assert status(stage) == "Completed"


def test_a_cancel_of_an_unreachable_job_is_done_and_its_cores_stay_held(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started())
    stage.clock.advance(20_000)
    assert watch(stage.world) is not None
    assert status(stage) == "NotResponding"
    cancel(stage)
    assert status(stage) == "Canceled" and held(stage) == 1
    assert part.agent.wish().action == "discard"
    part.tell(part.released())
    assert held(stage) == 0


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_a_node_that_nobody_knows_must_end(stage: Scene) -> None:
    stranger = Agent(stage.world, "node_stranger")
    stranger.hello()
    wishes = stranger.wishes()
    assert wishes.unknown and wishes.node == "end"


def test_what_an_agent_found_and_nobody_wants_is_discarded(stage: Scene) -> None:
    (part,) = start(stage)
    old = wire.Fence(job="job_old", attempt=3, epoch=1)
    part.agent.hello(part.fence, old)
    assert {(wish.fence.job, wish.action) for wish in part.agent.wishes().attempts} == {
        (part.fence.job, "prepare"),
        ("job_old", "discard"),
    }
    Part(part.agent, old, 0).tell(Part(part.agent, old, 0).released())
    assert [wish.fence.job for wish in part.agent.wishes().attempts] == [part.fence.job]


def test_an_agent_of_another_age_is_refused(stage: Scene) -> None:
    (part,) = start(stage)
    with pytest.raises(Invalid) as caught:
        part.agent.hello(protocols=(99,))
    assert caught.value.code == "ProtocolUnsupported"
    assert part.agent.hello(protocols=(99, 1)).protocol == 1


def test_versions_of_wishes_rise_only_with_changes(stage: Scene) -> None:
    (part,) = start(stage)
    first = part.agent.wishes().version
    assert part.agent.wishes().version == first
    part.tell(part.ready())
    second = part.agent.wishes().version
    assert second > first
    stage.clock.advance(1)
    assert WishBook(stage.world).read(part.agent.node).version > second, "also after a restart of the server"


def test_an_assignment_never_changes_for_one_fence(stage: Scene) -> None:
    (part,) = start(stage, code="./src", uploads={"/code": stage.upload(**{"a.py": b"1"})}, inputs={"x": 5})
    first = part.agent.wish().assignment
    part.prepare()
    submit.submit(
        stage.world,
        "ann",
        HERE,
        stage.submission(
            name="one",
            resources=ONE,
            tags={"new": "tag"},
            code="./src",
            inputs={"x": 5},
            uploads={"/code": stage.upload(**{"a.py": b"1"})},
        ),
    )
    assert part.agent.wish().assignment == first
    assert first is not None and first.literals == {"x": "5"}


def test_only_the_holder_of_the_fence_may_publish(stage: Scene) -> None:
    (part,) = start(stage)
    name = f"{part.fence.job}/1"
    assert context_of(stage.world, part.agent.node, name).job == part.fence.job
    for node, text in (("node_other", name), (part.agent.node, f"{part.fence.job}/2"), (part.agent.node, "x")):
        with pytest.raises(Forbidden):
            context_of(stage.world, node, text)
    cancel(stage)
    with pytest.raises(Forbidden) as caught:
        context_of(stage.world, part.agent.node, name)
    assert caught.value.code == "AttemptFenced"
    part.tell(part.released())


def test_samples_are_kept_as_the_use_of_the_job(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started(), part.sample(1.0))
    part.tell(part.sample(1.5))
    part.tell(part.exited(), part.collected(), part.sample(2.0), part.released())
    use = jobs.show(stage.world, HERE, "one").use
    assert use is not None and use.cpu_seconds == 2.0 and use.cpu_percent == 100.0 and use.memory_peak_mib == 20.0


def test_a_warm_node_serves_the_next_job(stage: Scene) -> None:
    (part,) = start(stage)
    part.run()
    (second,) = start(stage, "two")
    assert second.agent.node == part.agent.node
    assert stage.provider.machines.created == [part.agent.node]
    assert stage.world.store.read(lambda c: attempts.busy_nodes(c)) == {part.agent.node: [(second.fence.job, 1)]}
    assert stage.world.store.read(lambda c: nodes.get(c, part.agent.node)) is not None


def test_logs_come_in_order_and_complete_after_the_end(stage: Scene) -> None:
    (part,) = start(stage)
    job, node, out = part.fence.job, part.agent.node, "user_logs/std_log.txt"
    assert logs.append(stage.world, node, job, 1, 0, out, 0, b"one\n") == 4
    assert logs.append(stage.world, node, job, 1, 0, out, 9, b"gap") == 4
    part.run(code=1)
    assert logs.append(stage.world, node, job, 1, 0, out, 4, b"late\n") == 9
    found = logs.find(stage.world, job, out)
    assert b"".join(logs.chunks(stage.world, job, found, 0)) == b"one\nlate\n"
    with pytest.raises(NotFound):
        logs.find(stage.world, job, "other.txt")


def test_a_policy_may_cancel_with_a_cause_of_its_own(stage: Scene) -> None:
    (part,) = start(stage)
    jobs.cancel_by_id(stage.world, part.fence.job, Cause("CanceledByServer", "The server stops."))
    jobs.cancel_by_id(stage.world, "job_unknown", Cause("CanceledByServer", "The server stops."))
    assert error(stage) == "CanceledByServer"
    part.tell(part.released())


def test_what_collecting_left_out_is_said_with_the_job(stage: Scene) -> None:
    (part,) = start(stage)
    part.agent.report(part.ready(), part.started(), part.exited())
    part.agent.report(part.collected(message="Left out: outputs/link."))
    shown = jobs.show(stage.world, HERE, "one")
    assert shown.status == "Completed"
    assert "Left out: outputs/link." in shown.notes
    part.agent.report(part.released())


def test_what_is_said_twice_in_one_unit_is_all_kept(stage: Scene):
    row, _ = submit.submit(stage.world, "ann", HERE, stage.submission(name="one"))

    def say(unit: Unit) -> None:
        for note in ("first", "second", "first"):
            store_jobs.add_note(unit, row, note)

    stage.world.store.write(say)
    assert jobs.show(stage.world, HERE, "one").notes[-2:] == ["first", "second"]
