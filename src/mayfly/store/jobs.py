"""Jobs as rows. `change` is the only writer of what `domain.life.step` decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Integer, Row, bindparam, func, insert, select, update

from mayfly.domain.job import TERMINAL, Job, JobState, Phase
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, RunId, WorkspaceId
from mayfly.store import codec, dialect, events
from mayfly.store.statements import Statement
from mayfly.store.tables import UNTIDY, jobs
from mayfly.store.unit import Unit


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job as it is kept: who and what (never changes), labels (a repeated PUT may change), life (`job`)."""

    sequence: int
    workspace: WorkspaceId
    subscription: str
    name: str
    type: str
    display_name: str
    description: str | None
    experiment: str
    tags: dict[str, str]
    properties: dict[str, str]
    submitter: str
    definition_digest: str
    body: str
    spec: str
    work: str
    notes: list[str]
    request: str
    class_key: str
    priority: int
    environment: str
    run: RunId
    explanation: str | None
    job: Job
    archived: bool = False
    parent: str | None = None
    """Id of the job whose child it is."""
    root: str | None = None
    """Of the outermost of its parents."""
    step: str | None = None
    """What its parent calls it."""
    reuse_key: str | None = None
    """Jobs that have the same do the same; None: it is nobody's and has nobody's results."""
    reuse_parts: str | None = None
    """What the key is made of, as JSON."""
    reused: str | None = None
    """Id of the job whose results it has."""

    @property
    def ran_as(self) -> str:
        """Id of the job that did its work: its own, or the one whose results it has."""
        return self.reused or self.job.id


@dataclass(frozen=True, slots=True)
class Own:
    """What is a job's own, where others do the same."""

    id: JobId
    name: str
    display_name: str
    run: RunId

    @staticmethod
    def of(row: JobRow) -> Own:
        return Own(row.job.id, row.name, row.display_name, row.run)


Which = Literal["active", "archived", "all"]
PIPELINE = "pipeline"
"""The type of jobs whose children are the steps of a graph."""
IF_ELSE, DO_WHILE, PARALLEL_FOR = "if_else", "do_while", "parallel_for"
LOOPS = (DO_WHILE, PARALLEL_FOR)
"""Types of jobs whose children are rounds of one step."""
CAME_TO = "mayfly.condition"
"""A choice's property: what its condition was, 'true' or 'false'."""
TERMINAL_NAMES = tuple(sorted(state.value for state in TERMINAL))

_BY_NAME = Statement(select(jobs).where(jobs.c.workspace == bindparam("at"), jobs.c.name == bindparam("called")))
_FEW = 4
"""So many of SQLite's own statements take less than one that is made anew."""
_BY_IDS = select(jobs).where(jobs.c.id.in_(bindparam("of", expanding=True))).order_by(jobs.c.sequence)
_BY_NAMES = select(jobs).where(
    jobs.c.workspace == bindparam("at"), jobs.c.name.in_(bindparam("called", expanding=True))
)
_ONE = select(jobs).where(jobs.c.id == bindparam("one"))
_BY_ID, _LOCK = Statement(_ONE), Statement(_ONE, locks=True)
_BY_RUN = Statement(select(jobs).where(jobs.c.run == bindparam("of")))
_NAMES = select(jobs.c.id, jobs.c.name).where(jobs.c.id.in_(bindparam("of", expanding=True)))
_STATE = Statement(select(jobs.c.state).where(jobs.c.id == bindparam("one")), locks=True)
_ADD = insert(jobs)
_ADD_ALL = Statement(_ADD)
_LIFE = ("state", "phase", "phase_since", "phases", "attempt", "ranks", "retries_left", "cause")
_TIMES = ("started_at", "ended_at", "suspected_since")
LIFE = tuple(jobs.c[name] for name in ("id", "node_count", "created_at", *_LIFE, *_TIMES))
_CHANGE = Statement(
    update(jobs)
    .where(jobs.c.id == bindparam("one"))
    .values({"revision": jobs.c.revision + 1, **{name: bindparam(name) for name in (*_LIFE, *_TIMES)}})
)
_UNTIDY = Statement(select(jobs).where(UNTIDY).limit(bindparam("most", type_=Integer)))
_TIDY = Statement(update(jobs).where(jobs.c.id == bindparam("one")).values(tidy=True))
_EXPLAIN = Statement(update(jobs).where(jobs.c.id == bindparam("one")).values(explanation=bindparam("told")))


def add(unit: Unit, row: JobRow) -> int:
    """Insert; its sequence. Raises IntegrityError when the name is taken."""
    result = unit.connection.execute(_ADD, values_of(row))
    events.append(
        unit,
        row.job.id,
        "JobAccepted",
        row.job.created_at,
        _accepted(row, row.name),
        workspace=row.workspace,
    )
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else 0


def add_all(unit: Unit, rows: Sequence[tuple[JobRow, Own]]) -> None:
    """As `add`, of any number: each is as its row says, which may be that of many, but for what is its own."""
    if not rows:
        return
    alike = {id(row): values_of(row) for row in {id(row): row for row, _ in rows}.values()}
    _ADD_ALL.run_all(
        unit.connection,
        [
            {**alike[id(row)], "id": own.id, "name": own.name, "display_name": own.display_name, "run": own.run}
            for row, own in rows
        ],
    )
    events.append_all(
        unit,
        [
            events.values_of(own.id, "JobAccepted", row.job.created_at, _accepted(row, own.name), row.workspace)
            for row, own in rows
        ],
    )


def _accepted(row: JobRow, name: str) -> dict[str, Any]:
    return {"name": name, "submitter": row.submitter}


def values_of(row: JobRow) -> dict[str, Any]:
    return {
        "id": row.job.id,
        "workspace": row.workspace,
        "subscription": row.subscription,
        "name": row.name,
        "type": row.type,
        "display_name": row.display_name,
        "description": row.description,
        "experiment": row.experiment,
        "tags": codec.dump(row.tags),
        "properties": codec.dump(row.properties),
        "submitter": row.submitter,
        "definition_digest": row.definition_digest,
        "body": row.body,
        "spec": row.spec,
        "work": row.work,
        "notes": codec.dump(row.notes),
        "request": row.request,
        "class_key": row.class_key,
        "priority": row.priority,
        "environment": row.environment,
        "run": row.run,
        "explanation": row.explanation,
        "node_count": row.job.node_count,
        "created_at": row.job.created_at,
        "parent": row.parent,
        "root": row.root,
        "step": row.step,
        "reuse_key": row.reuse_key,
        "reuse_parts": row.reuse_parts,
        "reused": row.reused,
        **_life(row.job),
    }


class Changing(Protocol):
    """What is asked of a job's row where it changes."""

    @property
    def workspace(self) -> WorkspaceId: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def root(self) -> str | None: ...
    @property
    def job(self) -> Job: ...


@dataclass(frozen=True, slots=True)
class Change:
    """A job's row, and the job that `step` returned."""

    row: Changing
    after: Job


def change(unit: Unit, row: JobRow, after: Job, now: Millis, why: str) -> bool:
    """Write the job that `step` returned, with its event; False (and nothing written) when it is the same."""
    if after is row.job or after == row.job:
        return False
    change_all(unit, [Change(row, after)], now, why)
    return True


def change_all(unit: Unit, changes: Sequence[Change], now: Millis, why: str) -> None:
    """As `change`, of any number, each to something else than it was."""
    if not changes:
        return
    keep_all(unit, [one.after for one in changes])
    tell_all(unit, changes, now, why)


def keep_all(unit: Unit, lives: Sequence[Job]) -> None:
    """Write what `step` returned. Who does not `change` them tells each step of it by `tell_all`."""
    _CHANGE.run_all(unit.connection, [{"one": job.id, **_life(job)} for job in lives])


def tell_all(unit: Unit, changes: Sequence[Change], now: Millis, why: str) -> None:
    """The events of changes, of which the last of each job is kept in this unit."""
    told = [events.values_of(one.after.id, why, now, _moved(one), one.row.workspace) for one in changes]
    events.append_all(unit, told)
    for one in changes:
        unit.wake(*(f"job:{job}" for job in {one.after.id, one.row.parent, one.row.root} if job))


def _moved(change: Change) -> dict[str, Any]:
    before, after = change.row.job, change.after
    data: dict[str, Any] = {"attempt": after.attempt, "phase": after.phase.value}
    if after.state is not before.state:
        data |= {"from": before.state.value, "to": after.state.value}
    if after.cause is not None and after.cause != before.cause:
        data |= {"code": after.cause.code, "message": after.cause.message}
    return data


def relabel(unit: Unit, row: JobRow, display_name: str, description: str | None, tags: dict, properties: dict) -> None:
    """What a repeated submission of the same definition may change."""
    unit.connection.execute(
        update(jobs)
        .where(jobs.c.id == row.job.id)
        .values(
            display_name=display_name,
            description=description,
            tags=codec.dump(tags),
            properties=codec.dump(properties),
        )
    )


def archive(unit: Unit, row: JobRow, archived: bool) -> None:
    """Hide it from lists, or bring it back; nothing else of it changes."""
    unit.connection.execute(update(jobs).where(jobs.c.id == row.job.id).values(archived=archived))


def add_note(unit: Unit, row: JobRow, note: str) -> None:
    """Something to say about the job beside its state, once; what was said since `row` was read stays."""
    there = jobs.c.id == row.job.id
    kept = unit.connection.scalar(dialect.locked(unit.connection, select(jobs.c.notes).where(there)))
    notes = codec.load(kept) if kept else []
    if note not in notes:
        unit.connection.execute(update(jobs).where(there).values(notes=codec.dump([*notes, note])))


def explain(unit: Unit, explanations: Mapping[JobId, str]) -> None:
    _EXPLAIN.run_all(unit.connection, [{"one": job, "told": text} for job, text in explanations.items()])


def by_name(connection: Connection, workspace: WorkspaceId, name: str) -> JobRow | None:
    return _one(connection, _BY_NAME, {"at": workspace, "called": name})


def by_names(connection: Connection, workspace: WorkspaceId, names: Iterable[str]) -> dict[str, JobRow]:
    """Those that are there."""
    wanted, found = sorted(names), {}
    for first in range(0, len(wanted), 500):
        for row in connection.execute(_BY_NAMES, {"at": workspace, "called": wanted[first : first + 500]}):
            found[row.name] = row_of(row)
    return found


def by_id(connection: Connection, job: str) -> JobRow | None:
    return _one(connection, _BY_ID, {"one": job})


def by_run(connection: Connection, run: str) -> JobRow | None:
    """By Mayfly's run id."""
    return _one(connection, _BY_RUN, {"of": run})


def lock_state(unit: Unit, job: str) -> JobState | None:
    """As `lock`; only its state, because a pipeline's row may be large."""
    found = _STATE.value(unit.connection, {"one": job})
    return None if found is None else JobState(found)


def lock(unit: Unit, job: str) -> JobRow | None:
    """As `by_id`, held until the unit ends."""
    return _one(unit.connection, _LOCK, {"one": job})


def lock_all(unit: Unit, ids: Sequence[str]) -> dict[str, JobRow]:
    """As `lock`, by their ids."""
    if len(ids) <= _FEW and dialect.is_sqlite(unit.connection.engine):
        found = [lock(unit, job) for job in sorted(ids)]
        return {row.job.id: row for row in found if row is not None}
    rows = unit.connection.execute(dialect.locked(unit.connection, _BY_IDS), {"of": list(ids)})
    return {row.id: row_of(row) for row in rows}


def page(
    connection: Connection,
    workspace: WorkspaceId,
    most: int,
    before: int | None,
    states: Sequence[str] | None,
    which: Which = "all",
    parent: JobId | None = None,
) -> list[JobRow]:
    """Newest first, those of a sequence below `before`; the children of one job, else those that are nobody's."""
    given = {"at": workspace, "most": most, "parent": parent, "before": before}
    # of each state by itself: together, the newest of a rare one would be looked for among all others
    asked = [{**given, "state": state} for state in sorted(set(states))] if states else [given]
    statement = _page(parent is not None, before is not None, which, bool(states))
    rows = [row for one in asked for row in statement.all(connection, one)]
    return [row_of(row) for row in sorted(rows, key=lambda row: -row.sequence)[:most]]


@lru_cache(maxsize=24)
def _page(children: bool, before: bool, which: Which, of_state: bool) -> Statement:
    """Of those that `page` may need."""
    own = jobs.c.parent == bindparam("parent") if children else jobs.c.parent.is_(None)
    wanted = [jobs.c.workspace == bindparam("at"), own]
    if before:
        wanted.append(jobs.c.sequence < bindparam("before"))
    if which != "all":
        wanted.append(jobs.c.archived.is_(which == "archived"))
    if of_state:
        wanted.append(jobs.c.state == bindparam("state"))
    newest = select(jobs).where(*wanted).order_by(jobs.c.sequence.desc())
    return Statement(newest.limit(bindparam("most", type_=Integer)))


def names_of(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """By their ids."""
    wanted = sorted(ids)
    rows = connection.execute(_NAMES, {"of": wanted}) if wanted else ()
    return {row.id: row.name for row in rows}


def unfinished(connection: Connection) -> list[tuple[JobId, str, JobState]]:
    """Id, name and state of every job that has not ended."""
    rows = connection.execute(select(jobs.c.id, jobs.c.name, jobs.c.state).where(jobs.c.state.not_in(TERMINAL_NAMES)))
    return [(JobId(row.id), row.name, JobState(row.state)) for row in rows]


def counts(connection: Connection) -> dict[str, int]:
    """Status → how many, of jobs that have not ended."""
    rows = connection.execute(
        select(jobs.c.state, func.count().label("count"))
        .where(jobs.c.state.not_in(TERMINAL_NAMES))
        .group_by(jobs.c.state)
    )
    return {row.state: row[1] for row in rows}


def untidy(connection: Connection, most: int) -> list[JobRow]:
    """Ended jobs whose end has not been followed up."""
    return [row_of(row) for row in _UNTIDY.all(connection, {"most": most})]


def set_tidy(unit: Unit, ids: Sequence[str]) -> None:
    _TIDY.run_all(unit.connection, [{"one": job} for job in ids])


def waiting_for(connection: Connection, environment: str, states: Iterable[JobState]) -> list[JobRow]:
    rows = connection.execute(
        select(jobs).where(jobs.c.environment == environment, jobs.c.state.in_([state.value for state in states]))
    )
    return [row_of(row) for row in rows]


def any_waiting_for(connection: Connection, environment: str, states: Iterable[JobState]) -> bool:
    question = select(jobs.c.id).where(
        jobs.c.environment == environment, jobs.c.state.in_([state.value for state in states])
    )
    return connection.execute(question.limit(1)).first() is not None


def names_like(connection: Connection, workspace: WorkspaceId, most: int = 200) -> list[str]:
    """Recent names, for near matches."""
    return list(
        connection.scalars(
            select(jobs.c.name).where(jobs.c.workspace == workspace).order_by(jobs.c.sequence.desc()).limit(most)
        )
    )


def _life(job: Job) -> dict[str, Any]:
    return {
        "state": job.state.value,
        "phase": job.phase.value,
        "phase_since": job.phase_since,
        "phases": codec.phases_text(job.phases),
        "attempt": job.attempt,
        "ranks": codec.ranks_text(job.ranks),
        "retries_left": job.retries_left,
        "cause": codec.cause_text(job.cause),
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "suspected_since": job.suspected_since,
    }


def _one(connection: Connection, statement: Statement, values: dict[str, Any]) -> JobRow | None:
    row = statement.one(connection, values)
    return None if row is None else row_of(row)


def life_of(row: Any) -> Job:
    """Of a row that has `LIFE`."""
    return Job(
        id=JobId(row.id),
        node_count=row.node_count,
        created_at=Millis(row.created_at),
        phase_since=Millis(row.phase_since),
        state=JobState(row.state),
        phase=Phase(row.phase),
        phases=codec.phases_of(row.phases),
        attempt=row.attempt,
        ranks=codec.ranks_of(row.ranks),
        retries_left=row.retries_left,
        cause=codec.cause_of(row.cause),
        started_at=row.started_at,
        ended_at=row.ended_at,
        suspected_since=row.suspected_since,
    )


def row_of(row: Row[Any]) -> JobRow:
    return JobRow(
        sequence=row.sequence,
        workspace=WorkspaceId(row.workspace),
        subscription=row.subscription,
        name=row.name,
        type=row.type,
        display_name=row.display_name,
        description=row.description,
        experiment=row.experiment,
        tags=codec.load(row.tags),
        properties=codec.load(row.properties),
        submitter=row.submitter,
        definition_digest=row.definition_digest,
        body=row.body,
        spec=row.spec,
        work=row.work,
        notes=codec.load(row.notes),
        request=row.request,
        class_key=row.class_key,
        priority=row.priority,
        environment=row.environment,
        run=RunId(row.run),
        explanation=row.explanation,
        job=life_of(row),
        archived=row.archived,
        parent=row.parent,
        root=row.root,
        step=row.step,
        reuse_key=row.reuse_key,
        reuse_parts=row.reuse_parts,
        reused=row.reused,
    )
