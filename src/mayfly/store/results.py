"""What a job leaves behind: outputs by manifest, metrics, params and tags, and the pair of its run ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

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
                    "value": row.value,
                    "step": row.step,
                    "timestamp": row.timestamp,
                }
                for row in rows
            ],
        )


def metrics_of(connection: Connection, job: str) -> list[MetricRow]:
    rows = connection.execute(select(metrics).where(metrics.c.job == job).order_by(metrics.c.sequence))
    return [MetricRow(row.key, row.value, row.step, row.timestamp) for row in rows]


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
    return {row.key: row.value for row in rows}


def set_labels(unit: Unit, job: str, kind: str, values: Mapping[str, str]) -> None:
    """`kind` is 'param' or 'tag'."""
    for key, value in values.items():
        row = {"job": job, "kind": kind, "key": key[:255], "value": value}
        dialect.insert_or_replace(unit.connection, labels, row, ["job", "kind", "key"])


def labels_of(connection: Connection, job: str, kind: str) -> dict[str, str]:
    rows = connection.execute(select(labels.c.key, labels.c.value).where(labels.c.job == job, labels.c.kind == kind))
    return {row.key: row.value for row in rows}


def add_run(unit: Unit, run: str, job: str) -> None:
    unit.connection.execute(insert(runs).values(run=run, job=job))


def pair_run(unit: Unit, run: str, mlflow_run: str, experiment: str) -> None:
    unit.connection.execute(
        update(runs)
        .where(runs.c.run == run, runs.c.mlflow_run.is_(None))
        .values(mlflow_run=mlflow_run, mlflow_experiment=experiment)
    )


def run_pair(connection: Connection, run: str) -> tuple[str, str] | None:
    """The MLflow run and experiment behind one of our runs, None before its first use."""
    row = connection.execute(select(runs).where(runs.c.run == run)).one_or_none()
    return None if row is None or row.mlflow_run is None else (row.mlflow_run, row.mlflow_experiment)


def job_of_mlflow_run(connection: Connection, mlflow_run: str) -> str | None:
    return connection.scalar(select(runs.c.job).where(runs.c.mlflow_run == mlflow_run))
