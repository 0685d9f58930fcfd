"""Jobs kept together: those of one call, or of callers who come at the same moment. What is alike among them is looked at once, and
their rows go in at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError

from mayfly.domain.life import Waiting, step
from mayfly.domain.queue import Explanation
from mayfly.kit.ids import WorkspaceId
from mayfly.services import inputs, submit
from mayfly.services.environments import Wish
from mayfly.services.inputs import Source
from mayfly.services.submit import Candidate, Decided
from mayfly.services.world import World
from mayfly.store import jobs, waiting
from mayfly.store.jobs import JobRow, Own
from mayfly.store.unit import Unit

Kept = tuple[JobRow, bool]
"""A job, and whether it was not there before. The row of a new one does not tell its sequence."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that has a place, nobody's child."""

    world: World
    row: JobRow
    environment: Wish
    sources: dict[str, Source]
    named: bool
    """By who submits it: there may be one of that name."""


def wanted(world: World, found: Candidate, decided: Decided | None = None) -> Wanted:
    """`decided`: as in `submit.placed`. Raises as `submit.prepare`."""
    understood = found.understood
    if understood.environment.tracks:
        world.mlflow.prewarm()  # a job that is likely to need it has come
    row = submit.placed(world, found, decided)
    return Wanted(world, row, submit.owned(found), understood.sources, understood.chosen)


def keep(one: Wanted) -> Kept:
    """As `submit.keep`, with those of other callers."""
    try:
        return one.world.store.join(keep_all, one)
    except IntegrityError:  # two servers accepted one name at once: the other one's is there now
        return one.world.store.join(keep_all, one)


def keep_all(unit: Unit, asked: Sequence[Wanted]) -> list[Kept]:
    """In their order. What is wrong with any keeps none. Raises as `submit.submit`."""
    gathering = Gathering(unit, asked)
    found = [gathering.add(one) for one in asked]
    gathering.write()
    return found


class Gathering:
    """A unit in which jobs are kept: each is added, then all are written."""

    def __init__(self, unit: Unit, asked: Sequence[Wanted]) -> None:
        self._unit = unit
        self._new: list[tuple[Wanted, Own]] = []
        self._rows: dict[int, JobRow] = {}
        """Of each that is new, by what wants it."""
        self._anew: dict[str, bool] = {}
        """Environment → whether what it needs may not be made yet."""
        self._waits: dict[str, Explanation | None] = {}
        """Class → why those of it wait already."""
        named: dict[WorkspaceId, set[str]] = {}
        for one in asked:
            if one.named:
                named.setdefault(one.row.workspace, set()).add(one.row.name)
        self._there = {
            (place, name): row
            for place, names in named.items()
            for name, row in jobs.by_names(unit.connection, place, names).items()
        }

    def add(self, one: Wanted) -> Kept:
        """Raises Conflict `JobNameTaken`, Invalid `EnvironmentFailedBefore`."""
        row = one.row
        existing = self._there.get((row.workspace, row.name))
        if existing is not None:
            return submit.same(self._unit, existing, row), False
        digest, key = one.environment.digest, row.class_key
        if digest not in self._anew:
            self._anew[digest] = one.environment.keep(self._unit, one.world)
        if self._anew[digest]:
            self._unit.wake("scheduling")
        else:
            if key not in self._waits:
                self._waits[key] = waiting.joined(self._unit, key)
            row = self._queued(row, self._waits[key])
        self._rows[id(one)] = row
        self._new.append((one, Own.of(row)))
        return row, True

    def add_again(self, one: Wanted, own: Own) -> None:
        """Another like one that was added and is nobody's by name."""
        self._new.append((one, own))

    def _queued(self, row: JobRow, why: Explanation | None) -> JobRow:
        """Behind those of its class where they wait already, as they do; else the scheduler has to look."""
        if why is None:
            self._unit.wake("scheduling")
            return row
        return replace(row, job=step(row.job, Waiting(why.phase), row.job.created_at))

    def write(self) -> None:
        jobs.add_all(self._unit, [(self._rows[id(one)], own) for one, own in self._new])
        for one, own in self._new:
            if one.sources:
                row = replace(one.row, job=replace(one.row.job, id=own.id))
                inputs.trace(self._unit, row, one.sources, row.job.created_at)
        if self._new:
            self._unit.passing("job accepted")
