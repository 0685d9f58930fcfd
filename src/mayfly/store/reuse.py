"""Jobs that did or do the same as another."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, select

from mayfly.domain.job import JobState
from mayfly.kit.ids import WorkspaceId
from mayfly.store import dialect
from mayfly.store.jobs import JobRow, row_of
from mayfly.store.tables import jobs
from mayfly.store.unit import Unit


def same_work(unit: Unit, workspace: WorkspaceId, reuse_key: str) -> list[JobRow]:
    """Jobs that did or do the same themselves and may yet be used or waited for, newest first. Until the unit ends, nobody
    else is told: who finds none may add the first."""
    dialect.alone(unit.connection, f"{workspace} {reuse_key}")
    statement = _same(select(jobs), workspace, reuse_key).order_by(jobs.c.sequence.desc()).limit(20)
    return [row_of(row) for row in unit.connection.execute(statement)]


def _same(statement: Select[Any], workspace: WorkspaceId, reuse_key: str) -> Select[Any]:
    return statement.where(
        jobs.c.workspace == workspace,
        jobs.c.reuse_key == reuse_key,
        jobs.c.reused.is_(None),
        jobs.c.state.not_in([JobState.FAILED.value, JobState.CANCELED.value, JobState.CANCEL_REQUESTED.value]),
    )


def was_done(connection: Connection, workspace: WorkspaceId, reuse_key: str) -> bool:
    """Whether the newest of those whose results may be used is Completed. A hint: `same_work` decides."""
    found = connection.scalar(
        _same(select(jobs.c.state), workspace, reuse_key).order_by(jobs.c.sequence.desc()).limit(1)
    )
    return found == JobState.COMPLETED.value


def earlier_runs(connection: Connection, row: JobRow, most: int = 20) -> list[JobRow]:
    """Completed jobs of the same step name before this one that others may use, newest first."""
    statement = select(jobs).where(
        jobs.c.workspace == row.workspace,
        jobs.c.step == row.step,
        jobs.c.sequence < row.sequence,
        jobs.c.state == JobState.COMPLETED.value,
        jobs.c.reuse_key.is_not(None),
        jobs.c.reused.is_(None),
    )
    return [row_of(found) for found in connection.execute(statement.order_by(jobs.c.sequence.desc()).limit(most))]
