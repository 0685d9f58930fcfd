"""What jobs read and wrote, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from mayfly.store import dialect
from mayfly.store.tables import jobs, lineage
from mayfly.store.unit import Unit


@dataclass(frozen=True, slots=True)
class Link:
    direction: str
    """input, output."""
    name: str
    reference: str
    kind: str | None = None
    asset: str | None = None
    version: str | None = None
    tree: str | None = None
    job: str = ""
    """The job's name; filled in where it is read."""


def add(unit: Unit, workspace: str, job: str, links: Iterable[Link]) -> None:
    """At the unit's end. May be repeated: the last word holds."""
    rows = [
        {
            "workspace": workspace,
            "job": job,
            "direction": link.direction,
            "name": link.name,
            "kind": link.kind,
            "asset": link.asset,
            "version": link.version,
            "reference": link.reference,
            "tree": link.tree,
        }
        for link in links
    ]
    unit.at_end(_insert, rows)


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    dialect.insert_many_or_replace(connection, lineage, rows, ["job", "direction", "name"])


def of_job(connection: Connection, job: str) -> list[Link]:
    statement = _select().where(lineage.c.job == job).order_by(lineage.c.direction, lineage.c.name)
    return [_link(row) for row in connection.execute(statement)]


def of_asset(connection: Connection, workspace: str, kind: str, name: str, version: str | None) -> list[Link]:
    """The jobs that read or wrote it, newest first."""
    statement = _select().where(lineage.c.workspace == workspace, lineage.c.kind == kind, lineage.c.asset == name)
    if version is not None:
        statement = statement.where(lineage.c.version == version)
    return [_link(row) for row in connection.execute(statement.order_by(jobs.c.sequence.desc()).limit(1000))]


def _select():
    return select(lineage, jobs.c.name.label("job_name")).join(jobs, jobs.c.id == lineage.c.job)


def _link(row: Row[Any]) -> Link:
    return Link(row.direction, row.name, row.reference, row.kind, row.asset, row.version, row.tree, row.job_name)
