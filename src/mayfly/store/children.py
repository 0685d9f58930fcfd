"""Jobs as their parents see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, case, or_, select

from mayfly.domain.job import Cause, JobState
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId
from mayfly.store import codec
from mayfly.store.jobs import CAME_TO, IF_ELSE, LOOPS, PIPELINE, TERMINAL_NAMES, JobRow, row_of
from mayfly.store.statements import Statement
from mayfly.store.tables import jobs

_CAME_TO = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class ChildRow:
    """A child as its parent sees it."""

    id: JobId
    name: str
    type: str
    step: str
    state: JobState
    attempt: int
    cause: Cause | None
    came_to: bool | None = None
    """Of a choice: what its condition was."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A job without nodes of its own that has not ended."""

    id: JobId
    state: JobState


def seen(row: JobRow) -> ChildRow:
    """A whole row as its parent sees it."""
    came_to = _CAME_TO.get(row.properties.get(CAME_TO, "")) if row.type == IF_ELSE else None
    job = row.job
    return ChildRow(job.id, row.name, row.type, row.step or "", job.state, job.attempt, job.cause, came_to)


def of(connection: Connection, parent: str) -> list[ChildRow]:
    """In the order in which they began."""
    return [_child(row) for row in _OF.all(connection, {"under": parent})]


def one(connection: Connection, job: str) -> ChildRow:
    found = _ONE.one(connection, {"one": job})
    assert found is not None, job
    return _child(found)


def ended_since(connection: Connection, time: Millis) -> list[tuple[JobId, ChildRow]]:
    """The children of all jobs that ended then or later, each with its parent, in the order in which they began."""
    found = _ENDED.all(connection, {"since": time})  # asked for in order, SQLite would go through all jobs instead
    return [(JobId(row.parent), _child(row)) for row in sorted(found, key=lambda row: row.sequence)]


def _select() -> Select[*tuple[Any, ...]]:
    c = jobs.c
    properties = case((c.type == IF_ELSE, c.properties), else_=None).label("properties")
    return select(c.id, c.name, c.type, c.step, c.state, c.attempt, c.cause, c.parent, c.sequence, properties)


_OF = Statement(_select().where(jobs.c.parent == bindparam("under")).order_by(jobs.c.sequence))
_ONE = Statement(_select().where(jobs.c.id == bindparam("one")))
_ENDED = Statement(_select().where(jobs.c.ended_at >= bindparam("since"), jobs.c.parent.is_not(None)))
_COMPOSITES = Statement(
    select(jobs.c.id, jobs.c.state)
    .where(
        or_(*(jobs.c.type == one for one in (PIPELINE, *LOOPS))), *(jobs.c.state != state for state in TERMINAL_NAMES)
    )
    .order_by(jobs.c.sequence)
)


def _child(row: Row[Any]) -> ChildRow:
    came_to = None if row.properties is None else _CAME_TO.get(codec.load(row.properties).get(CAME_TO))
    state = JobState(row.state)
    return ChildRow(JobId(row.id), row.name, row.type, row.step, state, row.attempt, codec.cause_of(row.cause), came_to)


def rows_of(connection: Connection, parent: str) -> list[JobRow]:
    """As `of`, whole."""
    found = connection.execute(select(jobs).where(jobs.c.parent == parent).order_by(jobs.c.sequence))
    return [row_of(row) for row in found]


def composites(connection: Connection) -> list[Composite]:
    """Oldest first."""
    return [Composite(JobId(row.id), JobState(row.state)) for row in _COMPOSITES.all(connection)]
