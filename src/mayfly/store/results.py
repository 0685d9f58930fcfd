"""What a job leaves behind: outputs by manifest, metrics, params and tags, and the pair of its run ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select

from mayfly.domain.tracking import RunRole, TrackedRun
from mayfly.kit.ids import JobId, RunId
from mayfly.store import dialect
from mayfly.store.tables import labels, metrics, outputs, runs
from mayfly.store.unit import Unit


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


def outputs_of(connection: Connection, job: str, attempt: int) -> list[OutputRow]:
    rows = connection.execute(
        select(outputs)
        .where(outputs.c.job == job, outputs.c.attempt == attempt)
        .order_by(outputs.c.name, outputs.c.rank)
    )
    return [OutputRow(row.rank, row.name, row.tree, row.files, row.bytes) for row in rows]


def add_metrics(unit: Unit, job: str, attempt: int, rows: Sequence[MetricRow]) -> None:
    if rows:
        unit.connection.execute(
            insert(metrics),
            [
                {
                    "job": job,
                    "attempt": attempt,
                    "key": row.key,
                    "value": None if math.isnan(row.value) else row.value,
                    "step": row.step,
                    "timestamp": row.timestamp,
                }
                for row in rows
            ],
        )


def metrics_of(connection: Connection, job: str) -> list[MetricRow]:
    rows = connection.execute(select(metrics).where(metrics.c.job == job).order_by(metrics.c.sequence))
    return [MetricRow(row.key, _number(row.value), row.step, row.timestamp) for row in rows]


def last_metrics(connection: Connection, job: str) -> dict[str, float]:
    newest = (
        select(func.max(metrics.c.sequence).label("sequence"))
        .where(metrics.c.job == job)
        .group_by(metrics.c.key)
        .subquery()
    )
    rows = connection.execute(
        select(metrics.c.key, metrics.c.value).join(newest, newest.c.sequence == metrics.c.sequence)
    )
    return {row.key: _number(row.value) for row in rows}


def set_labels(unit: Unit, job: str, kind: str, values: Mapping[str, str]) -> None:
    """`kind` is 'param' or 'tag'."""
    for key, value in values.items():
        row = {"job": job, "kind": kind, "key": key[:255], "value": value}
        dialect.insert_or_replace(unit.connection, labels, row, ["job", "kind", "key"])


def labels_of(connection: Connection, job: str, kind: str) -> dict[str, str]:
    rows = connection.execute(select(labels.c.key, labels.c.value).where(labels.c.job == job, labels.c.kind == kind))
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
    found = [_run(row) for row in connection.execute(select(runs).where(runs.c.job == job))]
    return sorted(found, key=lambda run: run.role is not RunRole.JOB)


def has_point(connection: Connection, job: str, row: MetricRow) -> bool:
    """Whether this very point is kept already."""
    found = connection.scalar(
        select(metrics.c.sequence)
        .where(
            metrics.c.job == job,
            metrics.c.key == row.key,
            metrics.c.step == row.step,
            metrics.c.timestamp == row.timestamp,
            metrics.c.value.is_(None) if math.isnan(row.value) else metrics.c.value == row.value,
        )
        .limit(1)
    )
    return found is not None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _run(row: Row[Any]) -> TrackedRun:
    return TrackedRun(RunId(row.run), row.mlflow_run, JobId(row.job), RunRole(row.role))
