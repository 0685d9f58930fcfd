"""Jobs that did or do the same as another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, insert, select

from mayfly.domain.job import JobState
from mayfly.kit.ids import JobId, WorkspaceId
from mayfly.store import codec, dialect, results
from mayfly.store.jobs import JobRow, row_of, values_of
from mayfly.store.results import OutputRow
from mayfly.store.statements import Statement
from mayfly.store.tables import events, jobs, outputs
from mayfly.store.unit import Unit


def same_work(unit: Unit, workspace: WorkspaceId, reuse_key: str) -> list[JobRow]:
    """Jobs that did or do the same themselves and may yet be used or waited for, newest first. Until the unit ends, nobody
    else is told: who finds none may add the first."""
    dialect.alone(unit.connection, f"{workspace} {reuse_key}")
    return [row_of(row) for row in _SAME.all(unit.connection, {"at": workspace, "key": reuse_key})]


_UNUSABLE = (JobState.FAILED, JobState.CANCELED, JobState.CANCEL_REQUESTED)
_NOT_DONE = tuple(state for state in JobState if state is not JobState.COMPLETED)


def _same(
    statement: Select[*tuple[Any, ...]], most: int, without: Sequence[JobState] = _UNUSABLE
) -> Select[*tuple[Any, ...]]:
    """Newest first. Which states they are not in: asked for one state, SQLite goes through all jobs of the workspace in it."""
    mine = (jobs.c.workspace == bindparam("at"), jobs.c.reuse_key == bindparam("key"), jobs.c.reused.is_(None))
    usable = (jobs.c.state != state.value for state in without)
    return statement.where(*mine, *usable).order_by(jobs.c.sequence.desc()).limit(most)


_SAME = Statement(_same(select(jobs), 20))
_NEWEST = Statement(_same(select(jobs.c.state), 1))


def was_done(connection: Connection, workspace: WorkspaceId, reuse_key: str) -> bool:
    """Whether the newest of those whose results may be used is Completed. A hint: `same_work` decides."""
    return _NEWEST.value(connection, {"at": workspace, "key": reuse_key}) == JobState.COMPLETED.value


@dataclass(frozen=True, slots=True)
class Original:
    """A Completed job that did its work itself, and what it left."""

    id: JobId
    name: str
    attempt: int
    left: tuple[OutputRow, ...]


def original(connection: Connection, workspace: WorkspaceId, reuse_key: str) -> Original | None:
    """The newest of those that did the same. A hint: `still` decides."""
    found = _ORIGINAL.all(connection, {"at": workspace, "key": reuse_key})
    if not found:
        return None
    left = tuple(OutputRow(row.rank, row.output, row.tree, row.files, row.bytes) for row in found if row.tree)
    return Original(JobId(found[0].id), found[0].name, found[0].attempt, left)


def _original() -> Select[*tuple[Any, ...]]:
    c = jobs.c
    newest = _same(select(c.id, c.name, c.attempt), 1, _NOT_DONE).subquery()
    made = outputs.c
    mine = and_(made.job == newest.c.id, made.attempt == newest.c.attempt)
    wanted = (made.name.label("output"), made.rank, made.tree, made.files, made.bytes)
    return select(newest, *wanted).select_from(newest.outerjoin(outputs, mine)).order_by(made.name, made.rank)


_ORIGINAL = Statement(_original())


def still(unit: Unit, originals: Iterable[Original]) -> bool:
    """Whether what they left is there, as it was found."""
    known = {one.id: one for one in originals}
    left = results.outputs_of_all(unit.connection, {one.id: one.attempt for one in known.values()})
    return all(tuple(left.get(one.id, ())) == one.left for one in known.values())


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


def add_ended(unit: Unit, rows: Sequence[JobRow]) -> None:
    """Insert children that have ended in the same moment, with their events. Raises IntegrityError when a name is taken."""
    unit.connection.execute(insert(jobs), [values_of(row) for row in rows])
    told = []
    for row in rows:
        job = row.job
        shown = {"attempt": job.attempt, "phase": job.phase.value, "to": job.state.value}
        told.append((row, "JobAccepted", {"name": row.name, "submitter": row.submitter}))
        told.append((row, "Reused", {**shown, "from": JobState.QUEUED.value}))
    unit.connection.execute(
        insert(events),
        [
            {
                "workspace": row.workspace,
                "thing": row.job.id,
                "type": kind,
                "version": 1,
                "at": row.job.created_at,
                "data": codec.dump(data),
            }
            for row, kind, data in told
        ],
    )
