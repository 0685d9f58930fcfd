"""What a job leaves behind: outputs by manifest, metrics, params and tags, and the pair of its run ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select, text

from mayfly.domain.tracking import RunRole, TrackedRun
from mayfly.kit.ids import JobId, RunId
from mayfly.store import dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import labels, metrics, outputs, runs
from mayfly.store.unit import Unit

_OUTPUTS = Statement(
    select(outputs)
    .where(outputs.c.job == bindparam("of"), outputs.c.attempt == bindparam("at"))
    .order_by(outputs.c.name, outputs.c.rank)
)
_LABELS = Statement(
    select(labels.c.key, labels.c.value).where(labels.c.job == bindparam("of"), labels.c.kind == bindparam("which"))
)
_RUNS = Statement(select(runs).where(runs.c.job == bindparam("of")))


@dataclass(frozen=True, slots=True)
class OutputRow:
    rank: int
    name: str
    tree: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MetricRow:
    key: str
    value: float
    step: int
    timestamp: int
    sequence: int = 0
    """Its place in the order of arrival, once it is kept."""


def add_output(unit: Unit, job: str, attempt: int, row: OutputRow) -> None:
    dialect.insert_or_leave(
        unit.connection,
        outputs,
        [
            {
                "job": job,
                "attempt": attempt,
                "rank": row.rank,
                "name": row.name,
                "tree": row.tree,
                "files": row.files,
                "bytes": row.bytes,
            }
        ],
    )


def add_outputs(unit: Unit, job_rows: Mapping[str, Sequence[OutputRow]]) -> None:
    """Of several jobs that never had an attempt."""
    rows = [{**asdict(one), "job": job, "attempt": 0} for job, made in job_rows.items() for one in made]
    dialect.insert_many_or_leave(unit.connection, outputs, rows)


def outputs_of_all(connection: Connection, attempts: Mapping[str, int]) -> dict[str, list[OutputRow]]:
    """As `outputs_of`, of one attempt of each of several jobs."""
    c, found = outputs.c, dict[str, list[OutputRow]]()
    statement = select(outputs).where(c.job.in_(list(attempts))).order_by(c.name, c.rank)
    for row in connection.execute(statement):
        if row.attempt == attempts[row.job]:
            found.setdefault(row.job, []).append(OutputRow(row.rank, row.name, row.tree, row.files, row.bytes))
    return found


def outputs_of(connection: Connection, job: str, attempt: int) -> list[OutputRow]:
    rows = _OUTPUTS.all(connection, {"of": job, "at": attempt})
    return [OutputRow(row.rank, row.name, row.tree, row.files, row.bytes) for row in rows]


def add_metrics(unit: Unit, job: str, attempt: int, rows: Sequence[MetricRow]) -> None:
    """Key, step, timestamp and value name a point: one that is there already is left."""
    dialect.insert_many_or_leave(
        unit.connection,
        metrics,
        [
            {
                "job": job,
                "attempt": attempt,
                "key": row.key[:255],
                "value": None if math.isnan(row.value) else row.value,
                "step": row.step,
                "timestamp": row.timestamp,
            }
            for row in rows
            if not (math.isnan(row.value) and _has_nan(unit.connection, job, row))
        ],
    )


def _has_nan(connection: Connection, job: str, row: MetricRow) -> bool:
    """A NULL clashes with nothing, so it is looked for."""
    same = (metrics.c.job == job, metrics.c.key == row.key[:255], metrics.c.step == row.step)
    found = select(metrics.c.sequence).where(*same, metrics.c.timestamp == row.timestamp, metrics.c.value.is_(None))
    return connection.scalar(found.limit(1)) is not None


def metrics_of(connection: Connection, job: str, after: int = 0, most: int = 1 << 40, key: str = "") -> list[MetricRow]:
    """Points after that sequence in the order of arrival, of one key where it is given."""
    wanted = select(metrics).where(metrics.c.job == job, metrics.c.sequence > after)
    if key:
        wanted = wanted.where(metrics.c.key == key)
    found = connection.execute(wanted.order_by(metrics.c.sequence).limit(most))
    return [metric_row(row) for row in found]


def metric_row(row: Row[Any]) -> MetricRow:
    return MetricRow(row.key, _number(row.value), row.step, row.timestamp, row.sequence)


_LAST = text(
    "WITH RECURSIVE keys(key) AS ("
    " SELECT min(key) FROM metrics WHERE job = :job UNION ALL"
    " SELECT (SELECT min(m.key) FROM metrics m WHERE m.job = :job AND m.key > keys.key)"
    " FROM keys WHERE keys.key IS NOT NULL) "
    "SELECT keys.key, (SELECT m.value FROM metrics m WHERE m.job = :job AND m.key = keys.key"
    " ORDER BY m.sequence DESC LIMIT 1) AS value FROM keys WHERE keys.key IS NOT NULL"
)
"""A step through the index for each key, not a look at each point."""


def last_metrics(connection: Connection, job: str) -> dict[str, float]:
    """The newest value of every key; its cost does not grow with the number of points."""
    return {row.key: _number(row.value) for row in connection.execute(_LAST, {"job": job})}


def set_labels(unit: Unit, job: str, kind: str, values: Mapping[str, str]) -> None:
    """`kind` is 'param' or 'tag'."""
    for key, value in values.items():
        row = {"job": job, "kind": kind, "key": key[:255], "value": value}
        dialect.insert_or_replace(unit.connection, labels, row, ["job", "kind", "key"])


def labels_of(connection: Connection, job: str, kind: str) -> dict[str, str]:
    rows = _LABELS.all(connection, {"of": job, "which": kind})
    return {row.key: row.value for row in rows}


def bind_run(unit: Unit, run: TrackedRun) -> TrackedRun:
    """Keep the pair unless our run has one already; the pair that holds."""
    row = {"run": run.run, "mlflow_run": run.mlflow_run, "job": run.job, "role": run.role.value}
    dialect.insert_or_leave(unit.connection, runs, [row])
    return _run(unit.connection.execute(select(runs).where(runs.c.run == run.run)).one())


def find_runs(connection: Connection, ids: Sequence[str]) -> list[TrackedRun]:
    found = connection.execute(select(runs).where(or_(runs.c.run.in_(ids), runs.c.mlflow_run.in_(ids))))
    return [_run(row) for row in found]


def runs_of(connection: Connection, job: str) -> list[TrackedRun]:
    """The job's own first."""
    found = [_run(row) for row in _RUNS.all(connection, {"of": job})]
    return sorted(found, key=lambda run: run.role is not RunRole.JOB)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _run(row: Row[Any]) -> TrackedRun:
    return TrackedRun(RunId(row.run), row.mlflow_run, JobId(row.job), RunRole(row.role))
