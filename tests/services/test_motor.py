"""The motor by hand: placing, machines that come and go, silence, second chances, environments that come late."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from mayfly.domain.job import Cause, JobState
from mayfly.engine.fleet import tend
from mayfly.engine.loop import Duty, Engine
from mayfly.engine.resolving import Resolving
from mayfly.engine.scheduling import schedule
from mayfly.engine.watching import watch
from mayfly.kit.errors import Broken, Invalid
from mayfly.ports.peers import Alone, Peer
from mayfly.services import environments as services
from mayfly.services import explanations, jobs, logs, quotas, submit
from mayfly.services.stopping import Stopping
from mayfly.store import attempts, environments, ledgers, nodes, waiting
from mayfly.store.tables import leases
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.databases import Databases
from mayfly.testing.nodes import until
from mayfly.testing.snapshots import machine
from mayfly.testing.world import HERE, Scene, scene
from mayfly.wire import mayfly as wire

ONE, FOUR = {"instance_type": "local_1"}, {"instance_type": "local_4"}
PACKAGES = {"image": "library/python:latest", "conda_file": {"dependencies": ["python", {"pip": ["numpy"]}]}}


def send(stage: Scene, name: str, who: str = "ann", **changes) -> str:
    sent = stage.submission(name=name, **{"resources": ONE, **changes})
    return submit.submit(stage.world, who, HERE, sent)[0].job.id


def start(stage: Scene, name: str = "one", **changes) -> list[Part]:
    job = send(stage, name, **changes)
    stage.turn()
    return parts_of(stage.world, job, 1)


def show(stage: Scene, name: str = "one") -> wire.JobView:
    return jobs.show(stage.world, HERE, name)


def held(stage: Scene) -> int:
    return stage.world.store.read(lambda c: ledgers.capacity_held(c, "local")).cores


def states(stage: Scene) -> list[str]:
    return sorted(row.state.value for row in stage.world.store.read(nodes.present))


def test_nothing_to_do_costs_nothing(stage: Scene) -> None:
    assert (schedule(stage.world), tend(stage.world), watch(stage.world)) == (None, None, None)


def test_all_that_fits_starts_and_the_rest_waits_with_its_reason(stage: Scene) -> None:
    for number in range(6):
        send(stage, f"job{number}")
    stage.turn()
    found = [show(stage, f"job{number}") for number in range(6)]
    assert [one.status for one in found] == ["Provisioning"] * 4 + ["Queued"] * 2
    assert {one.phase for one in found[4:]} == {"quota"} and "quota" in found[5].status_reason
    assert held(stage) == 4 and len(stage.provider.machines.created) == 4
    told = explanations.explain(stage.world, HERE, "job5")
    assert (told.place_in_queue, told.missing) == (2, "quota") and told.advice is not None
    assert told.candidates[0].reason


def test_a_wait_is_written_once_and_forgotten_when_it_ends(stage: Scene) -> None:
    (part,) = start(stage, resources=FOUR)
    send(stage, "two", resources=FOUR)
    schedule(stage.world)
    (kept,) = stage.world.store.read(waiting.waits).values()
    stage.clock.advance(5000)
    schedule(stage.world)
    assert list(stage.world.store.read(waiting.waits).values()) == [kept]
    part.run()
    stage.turn()
    assert stage.world.store.read(waiting.waits) == {} and show(stage, "two").status == "Provisioning"


def test_more_quota_starts_what_waited_for_it(stage: Scene) -> None:
    quotas.update(stage.world, HERE, wire.QuotaUpdate(family="local", limit=1))
    start(stage)
    send(stage, "two")
    stage.turn()
    assert show(stage, "two").phase == "quota"
    quotas.update(stage.world, HERE, wire.QuotaUpdate(family="local", limit=2))
    stage.turn()
    assert show(stage, "two").status == "Provisioning"


def test_a_gang_starts_whole_or_not_at_all(stage: Scene) -> None:
    start(stage, resources={"instance_type": "local_2"})
    send(stage, "gang", resources={"instance_type": "local_1", "instance_count": 3})
    stage.turn()
    assert show(stage, "gang").status == "Queued" and held(stage) == 2


def test_a_refused_machine_fails_the_job_with_the_providers_words(stage: Scene) -> None:
    stage.provider.refuses = "sold out"
    send(stage, "one")
    stage.turn()
    view = show(stage)
    assert (view.status, view.error and view.error.code) == ("Failed", "NodeLost")
    assert view.error is not None and "sold out" in view.error.message
    assert held(stage) == 0 and stage.world.store.read(nodes.present) == []


def test_a_node_that_is_gone_fails_a_standard_job_and_gives_its_cores_back(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.tell(part.started())
    stage.provider.vanish(part.agent.node)
    tend(stage.world)
    view = show(stage)
    assert (view.status, view.error and view.error.code) == ("Failed", "NodeLost") and held(stage) == 0
    part.tell(part.exited(0), part.collected(), part.released())
    assert show(stage).status == "Failed", "a late exit record is evidence"


def test_a_node_that_went_down_is_brought_back_and_its_job_goes_on(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    stage.provider.go_down(part.agent.node)
    tend(stage.world)
    assert stage.provider.machines.created == [part.agent.node] * 2
    part.agent.hello(part.fence)
    part.finish()
    assert show(stage).status == "Completed"


def test_a_lost_spot_job_is_put_back_with_its_next_attempt(stage: Scene) -> None:
    (part,) = start(stage, queue_settings={"job_tier": "spot"})
    part.prepare()
    stage.provider.vanish(part.agent.node)
    tend(stage.world)
    assert (show(stage).status, show(stage).phase) == ("Queued", "retry wait")
    assert held(stage) == 0
    stage.turn()
    (second,) = parts_of(stage.world, part.fence.job, 2)
    assert second.agent.node != part.agent.node
    part.tell(part.exited(1), part.collected())
    assert show(stage).status == "Provisioning", "the first attempt is fenced"
    second.run()
    assert (show(stage).status, show(stage).attempt) == ("Completed", 2)


def test_spot_retries_end(stage: Scene) -> None:
    job = send(stage, "one", queue_settings={"job_tier": "spot"})
    for attempt in range(1, submit.SPOT_RETRIES + 2):
        stage.turn()
        (part,) = parts_of(stage.world, job, attempt)
        stage.provider.vanish(part.agent.node)
        tend(stage.world)
    assert (show(stage).status, show(stage).attempt) == ("Failed", submit.SPOT_RETRIES + 1)


def test_a_spot_job_whose_supervisor_died_goes_back_too(stage: Scene) -> None:
    """Its exit is unknown, which is no fault of the command's. On Standard the job has failed."""
    for tier, status in (("spot", "Queued"), ("standard", "Failed")):
        job = send(stage, tier, queue_settings={"job_tier": tier})
        stage.turn()
        (part,) = parts_of(stage.world, job, 1)
        part.prepare()
        part.tell(part.exited(137, lost="its supervisor was killed"))
        part.tell(part.collected())
        assert show(stage, tier).status == status
        part.tell(part.released())
        jobs.cancel(stage.world, HERE, tier, "ann", "")
        assert held(stage) == 0


def test_an_old_attempt_keeps_its_cores_until_nothing_of_it_is_left(stage: Scene) -> None:
    """A Spot gang of two loses one node: the other still works for the first attempt while the second is placed."""
    gang = {"instance_type": "local_1", "instance_count": 2}
    lost, left = start(stage, queue_settings={"job_tier": "spot"}, resources=gang)
    for part in (lost, left):
        part.prepare()
    stage.provider.vanish(lost.agent.node)
    tend(stage.world)
    assert show(stage).status == "Queued" and held(stage) == 2
    assert left.agent.wish().action == "discard"
    stage.turn()
    assert held(stage) == 4
    second = parts_of(stage.world, lost.fence.job, 2)
    assert left.agent.node not in {part.agent.node for part in second}
    left.tell(left.released())
    assert held(stage) == 2
    for part in second:
        part.prepare()
    for part in second:
        part.finish()
    assert show(stage).status == "Completed" and held(stage) == 0


def test_silence_is_shown_and_ends_with_a_word(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    stage.clock.advance(9_000)
    watch(stage.world)
    view = show(stage)
    assert view.status == "NotResponding" and view.not_responding_since == stage.clock.now()
    stage.clock.advance(1_000)
    part.agent.wishes()
    assert show(stage).status == "Running"
    spent = {one.phase: one.milliseconds for one in show(stage).phases}
    assert (spent["run"], spent["not responding"]) == (9_000, 1_000)
    part.finish()


def test_idle_nodes_go_after_their_time(stage: Scene) -> None:
    (part,) = start(stage)
    part.run()
    stage.clock.advance(119_000)
    tend(stage.world)
    assert states(stage) == ["ready"]
    stage.clock.advance(1_000)
    tend(stage.world)
    tend(stage.world)
    assert states(stage) == [] and part.agent.wishes().unknown


def test_a_deleted_node_is_gone_only_when_its_provider_says_so(stage: Scene) -> None:
    stage.provider.keeps_deleted = True
    (part,) = start(stage)
    part.run()
    stage.clock.advance(120_000)
    tend(stage.world)
    assert states(stage) == ["deleting"] and part.agent.wishes().node == "end"
    stage.provider.vanish(part.agent.node)
    tend(stage.world)
    assert states(stage) == []


def test_a_canceled_job_leaves_a_node_that_comes_late_to_be_used(stage: Scene) -> None:
    job = send(stage, "one")
    stage.turn()
    jobs.cancel(stage.world, HERE, "one", "ann", "")
    (part,) = parts_of(stage.world, job, 1)
    assert part.agent.wish().action == "discard"
    part.tell(part.released())
    assert held(stage) == 0 and states(stage) == ["ready"]


# --- environments -----------------------------------------------------------------------------------------------------


@pytest.fixture
def resolving(stage: Scene):
    found = Resolving(stage.world)
    yield found
    stage.resolver.gate.set()
    found.close()


def wanted(stage: Scene) -> int:
    return len(stage.world.store.read(environments.wanted))


def test_an_environment_that_comes_late_holds_the_job_up_and_no_longer(stage: Scene, resolving: Resolving) -> None:
    stage.resolver.gate.clear()
    (part,) = start(stage, environment=PACKAGES)
    resolving.work()
    resolving.work()
    assert part.agent.wishes().attempts == () and part.agent.wishes().node == "keep"
    stage.resolver.gate.set()
    until(lambda: not wanted(stage))
    wish = part.agent.wish()
    assert wish.assignment is not None and "numpy==1.0" in (wish.assignment.environment.lock or "")
    assert len(stage.resolver.asked) == 1, "single flight"
    found = logs.find(stage.world, part.fence.job, services.LOG_FILE)
    assert b"".join(logs.chunks(stage.world, part.fence.job, found, 0)) == b"looking\nfound\n"
    part.run()


def test_the_same_packages_are_resolved_once_for_all(stage: Scene, resolving: Resolving) -> None:
    start(stage, "one", environment=PACKAGES)
    resolving.work()
    until(lambda: not wanted(stage))
    (part,) = start(stage, "two", environment=PACKAGES)
    resolving.work()
    assert part.agent.wish().assignment is not None and len(stage.resolver.asked) == 1


def test_an_environment_without_a_solution_ends_who_waits_for_it(stage: Scene, resolving: Resolving) -> None:
    stage.resolver.failure = Broken("EnvironmentUnsatisfiable", "numpy: no such version", remedy="Loosen it.")
    (part,) = start(stage, "one", environment=PACKAGES)
    send(stage, "queued", environment=PACKAGES, resources=FOUR)
    start(stage, "other")
    resolving.work()
    until(lambda: show(stage, "queued").status == "Failed")
    for name in ("one", "queued"):
        problem = show(stage, name).error
        assert problem is not None and (problem.code, problem.remedy) == ("EnvironmentUnsatisfiable", "Loosen it.")
    assert show(stage, "other").status == "Provisioning" and part.agent.wish().action == "discard"
    part.tell(part.released())
    stage.resolver.failure = None
    with pytest.raises(Invalid) as refused:
        send(stage, "again", environment=PACKAGES)
    assert refused.value.code == "EnvironmentFailedBefore" and "no such version" in refused.value.message
    ask(stage)
    (again,) = start(stage, "again", environment=PACKAGES)
    resolving.work()
    until(lambda: not wanted(stage))
    assert again.agent.wish().action == "prepare", "a failure is not kept as an answer"


def ask(stage: Scene) -> None:
    """A person asks for another try."""
    found = services.wish(stage.world, PACKAGES, HERE)
    stage.world.store.write(lambda unit: found.keep(unit, stage.world, asked=True))


def test_an_index_that_could_not_be_asked_is_asked_again_by_the_next_job(stage: Scene, resolving: Resolving) -> None:
    stage.resolver.failure = Broken("PackageIndexUnreachable", "no route")
    start(stage, "one", environment=PACKAGES)
    resolving.work()
    until(lambda: show(stage, "one").status == "Failed")
    stage.resolver.failure = None
    (again,) = start(stage, "again", environment=PACKAGES)
    resolving.work()
    until(lambda: not wanted(stage))
    assert again.agent.wish().action == "prepare"


def test_a_resolution_ends_when_nobody_waits_for_it(stage: Scene) -> None:
    impatient = Resolving(stage.world, look_s=0.02)
    stage.resolver.gate.clear()
    start(stage, "one", environment=PACKAGES)
    impatient.work()
    until(lambda: stage.resolver.asked)
    jobs.cancel(stage.world, HERE, "one", "ann", "")
    until(lambda: not impatient.flying())
    assert wanted(stage) == 0
    ask(stage)  # nobody waits, but a person asked
    impatient.work()
    until(lambda: len(stage.resolver.asked) == 2)
    stage.resolver.gate.set()
    until(lambda: not wanted(stage))
    impatient.close()
    start(stage, "two", environment=PACKAGES)
    assert wanted(stage) == 0 and len(stage.resolver.asked) == 2


def test_two_servers_make_one_environment_once_for_ten_jobs(stage: Scene) -> None:
    stage.resolver.gate.clear()
    servers = [Resolving(stage.world, f"server {number}", look_s=0.05) for number in (1, 2)]
    for number in range(10):
        send(stage, f"job-{number}", environment=PACKAGES)
        for server in servers:
            server.work()
    until(lambda: stage.resolver.asked)
    until(lambda: sum(len(server.flying()) for server in servers) == 1)  # the other one has found it taken
    stage.resolver.gate.set()
    until(lambda: not wanted(stage))
    for server in servers:
        server.work()
        server.close()
    assert len(stage.resolver.asked) == 1


def test_what_a_server_found_out_too_late_is_not_kept(stage: Scene) -> None:
    stage.resolver.gate.clear()
    start(stage, "one", environment=PACKAGES)
    late = Resolving(stage.world, "a server that sleeps", look_s=60)
    late.work()
    until(lambda: stage.resolver.asked)
    (row,) = stage.world.store.read(environments.wanted)
    stage.world.store.write(lambda unit: environments.let_go(unit, row.digest, "a server that sleeps"))
    assert stage.world.store.write(lambda unit: environments.claim(unit, row.digest, "another"))
    stage.resolver.gate.set()
    until(lambda: not late.flying())
    late.close()
    assert wanted(stage) == 1


def test_a_resolution_given_up_at_the_end_of_the_server_is_taken_up_by_the_next(stage: Scene) -> None:
    stage.resolver.gate.clear()
    (part,) = start(stage, environment=PACKAGES)
    first = Resolving(stage.world)
    first.work()
    until(lambda: stage.resolver.asked)
    first.close()
    until(lambda: not first.flying())
    assert show(stage).status == "Provisioning" and wanted(stage) == 1
    stage.resolver.gate.set()
    second = Resolving(stage.world)
    second.work()
    until(lambda: not wanted(stage))
    second.close()
    assert part.agent.wish().action == "prepare"


# --- the loop, and a restart ------------------------------------------------------------------------------------------


def test_a_duty_is_done_when_woken_and_after_a_failure(stage: Scene) -> None:
    done: list[int] = []

    def work() -> float | None:
        done.append(1)
        if len(done) == 1:
            raise RuntimeError("once")
        return None

    engine = Engine(stage.world, "me", (Duty("duty", ("topic",), work, net_s=0.2),))
    engine.start()
    until(lambda: len(done) >= 2)
    stage.world.wakeups.wake({"topic"})
    seen = len(done)
    until(lambda: len(done) > seen)
    engine.stop()


def test_a_duty_belongs_to_one_server(stage: Scene) -> None:
    mine: list[str] = []
    engines = [
        Engine(stage.world, name, (Duty("duty", (), (lambda name=name: mine.append(name)), net_s=0.02),))
        for name in ("a", "b")
    ]
    for engine in engines:
        engine.start()
    until(lambda: len(mine) > 5)
    (holder,) = set(mine)
    engines[holder == "b"].stop()
    until(lambda: len(set(mine)) == 2)  # what it gave up is the other's at once
    engines[holder == "a"].stop()


def test_leases_of_duties_that_rest_are_renewed_in_one_unit(stage: Scene) -> None:
    done, names = Counter[str](), ("a", "b", "c", "d")
    stuck, go_on = threading.Event(), threading.Event()

    def never_ready() -> None:
        stuck.set()
        go_on.wait(30)

    duties = [Duty(name, (), lambda name=name: done.update((name,)), net_s=0.02) for name in names]
    engine = Engine(stage.world, "me", (*duties, Duty("stuck", (), never_ready)))
    engine.start()
    until(lambda: all(done[name] for name in names) and stuck.is_set())
    ends = lambda: dict(stage.world.store.read(lambda c: c.execute(select(leases.c.name, leases.c.until)).all()))  # noqa: E731
    before, began, seen = stage.world.store.commits, ends(), done.copy()
    stage.clock.advance(20_000)
    until(lambda: all(done[name] > seen[name] + 3 for name in names))
    assert stage.world.store.commits - before < len(names)  # who was at work just then does so once more
    now = ends()
    assert all(now[name] > began[name] for name in names) and now["stuck"] == began["stuck"]
    go_on.set()
    engine.stop()


class Beside(Alone):
    """Another server goes on."""

    def others(self) -> tuple[Peer, ...]:
        return (Peer("other", "http://127.0.0.1:1", "here", ""),)

    def leave(self) -> bool:
        return True


def test_a_server_that_is_not_the_last_leaves_nodes_and_jobs_to_the_others(stage: Scene) -> None:
    (idle,) = start(stage, "ends")
    idle.run()
    start(stage, "goes-on", resources=FOUR)
    before = states(stage)
    assert "ready" in before, before
    for mode in ("stop", "drain"):
        ended = threading.Event()
        view = Stopping(replace(stage.world, peers=Beside()), ended.set).down(mode)
        assert ended.wait(20), "it waits for nothing"
        assert view.taken_over and not view.waits and view.continuing == ["goes-on"]
        assert states(stage) == before


def test_a_server_that_comes_back_finds_everything(
    tmp_path: Path, databases: Databases, database: str, database_url: str
) -> None:
    first = scene(tmp_path, database_url)
    (part,) = start(first)
    part.prepare()
    first.world.store.close()
    second = scene(tmp_path, database_url, machines=first.provider.machines)
    second.clock.advance(60_000)
    second.world.contacts.hear(part.agent.node, second.clock.now())
    assert tend(second.world) == 1.0
    again = parts_of(second.world, part.fence.job, 1)[0]
    assert again.agent.wish().action == "run" and again.fence == part.fence
    again.finish()
    assert show(second).status == "Completed"
    assert second.world.store.read(attempts.live) == []
    second.world.store.close()


LIFE: list[Callable[[Scene, Part], None]] = [
    lambda stage, part: part.tell(part.phase("environment")),
    lambda stage, part: part.tell(part.ready()),
    lambda stage, part: part.tell(part.started()),
    lambda stage, part: part.tell(part.exited(0)),
    lambda stage, part: part.tell(part.collected()),
]


@pytest.mark.parametrize("after", range(len(LIFE) + 1))
@pytest.mark.parametrize("end", ["vanish", "cancel"])
def test_quota_is_conserved_whenever_it_ends(stage: Scene, after: int, end: str) -> None:
    (part,) = start(stage)
    for act in LIFE[:after]:
        stage.clock.advance(7)
        act(stage, part)
    if end == "cancel":
        jobs.cancel(stage.world, HERE, "one", "ann", "")
    stage.provider.vanish(part.agent.node)
    tend(stage.world)
    assert show(stage).ended_at is not None and held(stage) == 0
    assert stage.world.store.read(ledgers.check) == []


def test_a_machine_that_grew_gives_its_new_cores(tmp_path: Path, database_url: str) -> None:
    """A limit that nobody set follows the machine at the server's next start; a person's stays."""

    def limits(stage: Scene) -> dict[str, int]:
        return {one.family: one.limit for one in quotas.quotas(stage.world, HERE) if one.tier == "Standard"}

    first = scene(tmp_path, database_url, machine(cores=2))
    (part,) = start(first)
    part.run()
    quotas.update(first.world, HERE, wire.QuotaUpdate(family="standardDSv2Family", limit=7))
    assert limits(first)["local"] == 2
    first.world.store.close()
    second = scene(tmp_path, database_url, machine(cores=8), first.provider.machines)
    assert (limits(second)["local"], limits(second)["standardDSv2Family"]) == (8, 7)
    second.world.store.close()


def test_many_are_canceled_together_with_few_waits_for_the_disk(stage: Scene) -> None:
    world = stage.world
    start(stage, "placed", resources=FOUR)
    waiting_ones = [send(stage, f"waits-{number}", resources=FOUR) for number in range(30)]
    stage.turn()
    commits = world.store.commits
    placed = stage.row(jobs.find(world, HERE, "placed").job.id).job.id
    jobs.cancel_all(world, [placed, *waiting_ones], Cause("CanceledByServer", "The server stops."))
    assert world.store.commits - commits <= 1
    assert {stage.row(one).job.state for one in waiting_ones} == {JobState.CANCELED}
    assert stage.row(placed).job.state is JobState.CANCELED  # its node never began
