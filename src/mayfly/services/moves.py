"""The one way a service moves a job: `step`, write, wake whoever must know."""

from __future__ import annotations

from dataclasses import replace

from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import AttemptLost, JobEvent, RankReleased, step
from mayfly.domain.node import Freed
from mayfly.kit.clock import Millis
from mayfly.store import attempts, jobs, ledgers, nodes
from mayfly.store.attempts import RankRow
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Unit


def move(unit: Unit, row: JobRow, event: JobEvent, now: Millis) -> JobRow:
    """Apply one event to a locked row; the row as it is afterwards."""
    after = step(row.job, event, now)
    if not jobs.change(unit, row, after, now, type(event).__name__):
        return row
    for rank in attempts.ranks_of(unit.connection, after.id, after.attempt) if after.attempt else ():
        unit.wake(f"node:{rank.node}")
    if after.state is JobState.RUNNING and row.job.state is not JobState.RUNNING:
        unit.passing("start granted")
    if after.state.terminal and not row.job.state.terminal:
        unit.passing("job ended")
        unit.wake("scheduling", "ended")
    if after.state is JobState.QUEUED and row.job.state is not JobState.QUEUED:
        unit.wake("scheduling")
    return replace(row, job=after)


def release(unit: Unit, rank: RankRow, now: Millis) -> None:
    """Nothing of the rank is left on its node. When that is true of the whole attempt, what it held is given back
    (promise 6). May be repeated."""
    if rank.released:
        return
    attempts.note(unit, rank, released=True)
    row = jobs.lock(unit, rank.job)
    if row is not None:
        move(unit, row, RankReleased(rank.attempt, rank.rank), now)
    if all(other.released for other in attempts.ranks_of(unit.connection, rank.job, rank.attempt)):
        attempts.release(unit, rank.job, rank.attempt, now)
        ledgers.give_back(unit, rank.job, rank.attempt)
        unit.passing("attempt released")
    node = nodes.lock(unit, rank.node)
    if node is not None and not attempts.on_node(unit.connection, rank.node):
        nodes.apply(unit, node, Freed(), now)
    unit.wake("scheduling", f"node:{rank.node}")


def lose(unit: Unit, rank: RankRow, cause: Cause, now: Millis, *, retry: bool) -> None:
    """The node of this rank is confirmed gone: the attempt is fenced, and the rank holds nothing any more."""
    row = jobs.lock(unit, rank.job)
    if row is not None:
        move(unit, row, AttemptLost(rank.attempt, cause, retry), now)
    for other in attempts.ranks_of(unit.connection, rank.job, rank.attempt):
        unit.wake(f"node:{other.node}")
    release(unit, rank, now)
