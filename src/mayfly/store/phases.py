"""The phase of those who wait: thousands come into another one at once, and little of a job's row matters to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from mayfly.domain.job import Job
from mayfly.domain.life import Waiting
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, WorkspaceId
from mayfly.store import codec, dialect
from mayfly.store.jobs import LIFE, Change, life_of, tell_all
from mayfly.store.statements import Statement
from mayfly.store.tables import jobs
from mayfly.store.unit import Unit

_HELD = (
    select(jobs.c.workspace, jobs.c.parent, jobs.c.root, *LIFE)
    .where(jobs.c.id.in_(bindparam("of", expanding=True)))
    .order_by(jobs.c.sequence)
)
_ENTER = Statement(
    update(jobs)
    .where(jobs.c.id == bindparam("one"))
    .values(
        revision=jobs.c.revision + 1,
        phase=bindparam("phase"),
        phase_since=bindparam("phase_since"),
        phases=bindparam("phases"),
    )
)
"""Names no column that stays, so that no index of those is written."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """What a job's row has of it."""

    workspace: WorkspaceId
    parent: str | None
    root: str | None
    job: Job


def lock_all(unit: Unit, ids: Sequence[JobId]) -> list[Waiter]:
    """In the order of the queue, held until the unit ends."""
    rows = unit.connection.execute(dialect.locked(unit.connection, _HELD), {"of": list(ids)})
    return [Waiter(row.workspace, row.parent, row.root, life_of(row)) for row in rows]


def enter_all(unit: Unit, changes: Sequence[Change], now: Millis) -> None:
    """As `jobs.change_all`, of what `step` makes of `Waiting`: nothing but the phase is another."""
    entered = [
        {
            "one": one.after.id,
            "phase": one.after.phase.value,
            "phase_since": one.after.phase_since,
            "phases": codec.phases_text(one.after.phases),
        }
        for one in changes
    ]
    _ENTER.run_all(unit.connection, entered)
    tell_all(unit, changes, now, Waiting.__name__)
