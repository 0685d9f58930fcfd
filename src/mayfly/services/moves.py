"""The one way a service moves a job: `step`, write, wake whoever must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from mayfly.domain.job import Cause, Job, JobState
from mayfly.domain.life import AttemptLost, JobEvent, RankReleased, step
from mayfly.domain.node import Freed
from mayfly.kit.clock import Millis
from mayfly.store import attempts, jobs, ledgers, nodes
from mayfly.store.attempts import RankRow
from mayfly.store.jobs import Change, JobRow
from mayfly.store.unit import Unit

_OF_RANKS = {field.name for field in fields(RankRow)}


def move(unit: Unit, row: JobRow, event: JobEvent, now: Millis) -> JobRow:
    """Apply one event to a locked row; the row as it is afterwards."""
    after = step(row.job, event, now)
    if not jobs.change(unit, row, after, now, type(event).__name__):
        return row
    ranks = attempts.ranks_of(unit.connection, after.id, after.attempt) if after.attempt else ()
    _tell(unit, row.job, after, ranks)
    return replace(row, job=after)


def _tell(unit: Unit, before: Job, after: Job, ranks: Sequence[RankRow]) -> None:
    for rank in ranks:
        unit.wake(f"node:{rank.node}")
    if after.state is JobState.RUNNING and before.state is not JobState.RUNNING:
        unit.passing("start granted")
    if after.state.terminal and not before.state.terminal:
        unit.passing("job ended")
        unit.wake("scheduling", "ended")
    if after.state is JobState.QUEUED and before.state is not JobState.QUEUED:
        unit.wake("scheduling")


class Course:
    """How one attempt goes on in one unit: its job, which is held until the unit ends, and its ranks, read once. Each move has its
    event; what has become of them is written once, by `keep`, without which nothing is."""

    def __init__(self, unit: Unit, job: str, attempt: int) -> None:
        self.unit = unit
        self.row = jobs.lock(unit, job)
        """As it is now; None where there is no such job."""
        # after the job is held: others may be about to change them
        self.ranks = attempts.ranks_of(unit.connection, job, attempt)
        self.attempt = attempt
        self._read = self.row
        self._noted: dict[int, dict[str, Any]] = {}

    def move(self, event: JobEvent, now: Millis) -> None:
        if self.row is None:
            return
        before, after = self.row.job, step(self.row.job, event, now)
        if after is before or after == before:
            return
        jobs.tell_all(self.unit, [Change(self.row, after)], now, type(event).__name__)
        _tell(self.unit, before, after, self.ranks)
        self.row = replace(self.row, job=after)

    def note(self, rank: RankRow, **values: Any) -> None:
        """Facts of one of its ranks, as `attempts.note` keeps them."""
        self._noted.setdefault(rank.rank, {}).update(values)
        known = {name: value for name, value in values.items() if name in _OF_RANKS}
        self.ranks = [replace(one, **known) if one.rank == rank.rank else one for one in self.ranks]

    def release(self, rank: RankRow, now: Millis) -> None:
        """Nothing of the rank is left on its node. When that is true of the whole attempt, what it held is given back
        (promise 6). May be repeated."""
        if rank.released:
            return
        self.note(rank, released=True)
        self.move(RankReleased(self.attempt, rank.rank), now)
        if all(other.released for other in self.ranks):
            attempts.release(self.unit, rank.job, self.attempt, now)
            ledgers.give_back(self.unit, rank.job, self.attempt)
            self.unit.passing("attempt released")
        self._keep_ranks()
        node = nodes.lock(self.unit, rank.node)
        if node is not None and not attempts.on_node(self.unit.connection, rank.node):
            nodes.apply(self.unit, node, Freed(), now)
        self.unit.wake("scheduling", f"node:{rank.node}")

    def keep(self) -> None:
        """May be called more than once."""
        self._keep_ranks()
        if self.row is not None and self.row is not self._read:
            jobs.keep_all(self.unit, [self.row.job])
            self._read = self.row

    def _keep_ranks(self) -> None:
        for rank in self.ranks:
            if noted := self._noted.pop(rank.rank, None):
                attempts.note(self.unit, rank, **noted)


def lose(unit: Unit, rank: RankRow, cause: Cause, now: Millis, *, retry: bool) -> None:
    """The node of this rank is confirmed gone: the attempt is fenced, and the rank holds nothing any more."""
    course = Course(unit, rank.job, rank.attempt)
    course.move(AttemptLost(rank.attempt, cause, retry), now)
    for other in course.ranks:
        unit.wake(f"node:{other.node}")
    for one in course.ranks:
        if one.rank == rank.rank:
            course.release(one, now)
    course.keep()
