"""Jobs as their parents see them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, select

from mayfly.domain.job import Cause, JobState
from mayfly.kit.ids import JobId
from mayfly.store import codec
from mayfly.store.jobs import CAME_TO, IF_ELSE, LOOPS, PIPELINE, TERMINAL_NAMES, JobRow, row_of
from mayfly.store.tables import jobs


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


def of(connection: Connection, parent: str) -> list[ChildRow]:
    """In the order in which they began."""
    c = jobs.c
    properties = case((c.type == IF_ELSE, c.properties), else_=None).label("properties")
    rows = connection.execute(
        select(c.id, c.name, c.type, c.step, c.state, c.attempt, c.cause, properties)
        .where(c.parent == parent)
        .order_by(c.sequence)
    )
    return [
        ChildRow(
            JobId(row.id),
            row.name,
            row.type,
            row.step,
            JobState(row.state),
            row.attempt,
            codec.cause_of(row.cause),
            None if row.properties is None else _answer(row.properties),
        )
        for row in rows
    ]


def rows_of(connection: Connection, parent: str) -> list[JobRow]:
    """As `of`, whole."""
    found = connection.execute(select(jobs).where(jobs.c.parent == parent).order_by(jobs.c.sequence))
    return [row_of(row) for row in found]


def composites(connection: Connection) -> list[JobId]:
    """Ids of the jobs without nodes of their own that have not ended, oldest first."""
    rows = connection.scalars(
        select(jobs.c.id)
        .where(jobs.c.type.in_([PIPELINE, *LOOPS]), jobs.c.state.not_in(TERMINAL_NAMES))
        .order_by(jobs.c.sequence)
    )
    return [JobId(row) for row in rows]


def _answer(properties: str) -> bool | None:
    return {"true": True, "false": False}.get(codec.load(properties).get(CAME_TO))
