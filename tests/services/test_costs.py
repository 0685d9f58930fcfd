"""What things cost in counts, which do not depend on how busy a machine is: each may grow by a fifth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from mayfly.domain.job import JobState, Phase
from mayfly.engine.pipelines import Pipelines
from mayfly.engine.scheduling import schedule
from mayfly.services import batches, submissions
from mayfly.services import jobs as services
from mayfly.services.views import accepted_view
from mayfly.store import children, codec, dialect, events, jobs, waiting
from mayfly.store.jobs import JobRow
from mayfly.store.sanity import sanity_check
from mayfly.testing.agent import parts_of
from mayfly.testing.snapshots import machine
from mayfly.testing.world import HERE, Scene, scene
from mayfly.wire.mayfly import Submission


class Counted:
    statements = 0
    woken: list[set[str]]


@contextmanager
def counted(stage: Scene) -> Iterator[Counted]:
    found, engine = Counted(), stage.world.store.engine
    found.woken = []
    plain = stage.world.store.wake

    def count(*_: Any) -> None:
        found.statements += 1

    def wake(topics: set[str]) -> None:
        found.woken.append(set(topics))
        plain(topics)

    event.listen(engine, "before_cursor_execute", count)
    stage.world.store.wake = wake
    yield found
    event.remove(engine, "before_cursor_execute", count)
    stage.world.store.wake = plain


def test_a_submission(stage: Scene) -> None:
    """As the door accepts and answers it: begin, job, event. Why it waits, its environment and whether it has a place are remembered."""
    world = stage.world
    for _ in range(2):
        accepted_view(world, submissions.accept(world, "ann", HERE, stage.submission())[0])
    commits = world.store.commits
    with counted(stage) as cost:
        row, _ = submissions.accept(world, "ann", HERE, stage.submission())
        accepted_view(world, row)
    if dialect.is_sqlite(world.store.engine):
        assert cost.statements <= 4
        assert world.store.commits - commits == 1
    else:
        assert cost.statements <= 16


def test_many_submissions_in_one_call(stage: Scene) -> None:
    """Begin, the jobs, their events, and what is looked at once."""
    world = stage.world
    for _ in range(2):
        submissions.accept(world, "ann", HERE, stage.submission())
    commits = world.store.commits
    with counted(stage) as cost:
        batches.accept(world, "ann", HERE, [stage.submission(f"echo {number % 7}") for number in range(100)])
    assert cost.statements <= 14
    if dialect.is_sqlite(world.store.engine):
        assert world.store.commits - commits == 1


def test_a_reservation(stage: Scene) -> None:
    """Quota, capacity, nodes, attempts, explanations, states and their events, each once for all of a pass; and its own looks."""
    for _ in range(4):
        submissions.accept(stage.world, "ann", HERE, stage.submission(resources={"instance_type": "local_1"}))
    with counted(stage) as cost:
        schedule(stage.world)
    assert stage.world.store.read(jobs.counts) == {"Provisioning": 4}
    assert cost.statements <= (34 if dialect.is_sqlite(stage.world.store.engine) else 36)


def test_who_waits_is_told_of_it_once(tmp_path: Path, database_url: str) -> None:
    """However many rounds of reservations a pass has: after them."""
    stage = scene(tmp_path, database_url, machine(cores=40, max_nodes=40))
    world, store = stage.world, stage.world.store
    asked = [stage.submission(resources={"instance_type": "local_1"}) for _ in range(60)]
    names = [name for name, _ in batches.accept(world, "ann", HERE, asked)]
    commits = store.commits
    schedule(world)
    assert store.read(jobs.counts) == {"Provisioning": waiting.HEADS + 8, "Queued": 20}
    rows = [services.find(world, HERE, name) for name in names]
    assert [row.job.phase for row in rows[40:]] == [Phase.QUOTA] * 20
    for row in rows:
        told = store.read(lambda connection, row=row: events.of(connection, row.job.id))
        assert [one.type for one in told][1:] == ["Waiting" if row.job.state is JobState.QUEUED else "Reserved"]
    if dialect.is_sqlite(store.engine):
        assert store.commits - commits <= 5, "two rounds, why each class waits in each, and the phases"
    assert store.read(sanity_check) == []
    store.close()


def _four(stage: Scene, who: str = "ann") -> JobRow:
    """A job that takes the whole machine."""
    return submissions.accept(stage.world, who, HERE, stage.submission(resources={"instance_type": "local_4"}))[0]


def test_a_job_that_joins_those_who_wait_wakes_nobody(stage: Scene) -> None:
    for _ in range(2):
        _four(stage)
    schedule(stage.world)
    with counted(stage) as cost:
        joined = _four(stage)
        assert cost.woken == []
        _four(stage, "bob")
        assert cost.woken == [{"scheduling"}]
    assert stage.row(joined.job.id).job.phase is Phase.QUOTA


def test_a_class_that_waits_no_longer_lets_nobody_wait_unseen(stage: Scene) -> None:
    world = stage.world
    first, second = _four(stage), _four(stage)
    schedule(world)
    for row in (first, second):
        services.cancel(world, HERE, row.name, "ann", "")
    joined = _four(stage)  # before the scheduler has looked
    with counted(stage) as cost:
        world.store.write(lambda unit: waiting.forget_wait(unit, codec.class_of(joined.class_key)))
    assert cost.woken == [{"scheduling"}]
    services.cancel(world, HERE, joined.name, "ann", "")
    schedule(world)
    with counted(stage) as cost:
        _four(stage)
    assert cost.woken == [{"scheduling"}]


def test_from_one_step_to_the_next(stage: Scene) -> None:
    """The end with all that the node gives back, the controller's pass and the scheduler's; the next step has the same node."""
    world, command = stage.world, {"command": "true", "environment": {"image": "library/python:latest"}}
    steps = {"a": command, "b": {**command, "depends_on": ["a"]}, "c": {**command, "depends_on": ["b"]}}
    definition = {"type": "pipeline", "settings": {"force_rerun": True}, "jobs": steps}
    pipeline, _ = submissions.accept(world, "ann", HERE, Submission(definition=definition))
    duty = Pipelines(world)
    duty.work()
    stage.turn()
    (part,) = parts_of(world, _last_step(stage, pipeline), 1)
    part.prepare()
    for _ in ("b", "c"):
        commits = world.store.commits
        with counted(stage) as cost:
            part.tell(part.started(), part.exited(0), part.collected(), part.released())
            duty.work()
            schedule(world)
        assert cost.statements <= (66 if dialect.is_sqlite(world.store.engine) else 95)
        if dialect.is_sqlite(world.store.engine):
            assert world.store.commits - commits == 3
        before, (part,) = part.agent.node, parts_of(world, _last_step(stage, pipeline), 1)
        assert part.agent.node == before
        part.tell(part.ready())


def _last_step(stage: Scene, pipeline: JobRow) -> str:
    return stage.world.store.read(lambda connection: children.of(connection, pipeline.job.id))[-1].id
