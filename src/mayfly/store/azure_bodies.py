"""What Azure's doors were told of a thing, verbatim."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, select

from mayfly.kit.clock import Millis
from mayfly.store import codec, dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import azure_bodies, jobs
from mayfly.store.unit import Unit

_KEYS = ("workspace", "collection", "name", "version")
_ONE = Statement(select(azure_bodies).where(*(azure_bodies.c[key] == bindparam(key) for key in _KEYS)))


@dataclass(frozen=True, slots=True)
class BodyRow:
    workspace: str
    collection: str
    name: str
    version: str
    body: Mapping[str, Any]
    created_by: str
    created_at: Millis
    deleted: bool = False
    """Nobody is shown it, and its name stays taken."""


def put(unit: Unit, row: BodyRow) -> None:
    """Make it, or give the one of that name this body; who made it and when stays."""
    before = find(unit.connection, row.workspace, row.collection, row.name, row.version)
    if before is not None:
        row = replace(row, created_by=before.created_by, created_at=before.created_at)
    dialect.insert_or_replace(unit.connection, azure_bodies, _values(row), _KEYS)


def add(unit: Unit, row: BodyRow) -> bool:
    """False, and nothing is changed, where there is one of that name."""
    return dialect.insert_or_leave(unit.connection, azure_bodies, [_values(row)]) > 0


def find(connection: Connection, workspace: str, collection: str, name: str, version: str = "") -> BodyRow | None:
    wanted = {"workspace": workspace, "collection": collection, "name": name, "version": version}
    found = _ONE.one(connection, wanted)
    return None if found is None else _row(found)


def listing(connection: Connection, workspace: str, collection: str) -> list[BodyRow]:
    """Those that are not deleted, by name."""
    of = azure_bodies.c
    some = (of.workspace == workspace, of.collection == collection, of.deleted.is_(False))
    return [_row(row) for row in connection.execute(select(azure_bodies).where(*some).order_by(of.name, of.version))]


def named(connection: Connection, workspace: str, collection: str, names: Collection[str]) -> dict[str, BodyRow]:
    """Those of these names, deleted or not."""
    of = azure_bodies.c
    some = (of.workspace == workspace, of.collection == collection, of.name.in_(names))
    return {row.name: _row(row) for row in connection.execute(select(azure_bodies).where(*some))}


def without_job(connection: Connection, workspace: str, after: str, most: int) -> list[BodyRow]:
    """What was told of jobs that are no rows of ours and are not deleted, by name."""
    of = azure_bodies.c
    some = (of.workspace == workspace, of.collection == "jobs", of.deleted.is_(False), of.name > after)
    ours = exists().where(jobs.c.workspace == of.workspace, jobs.c.name == of.name)
    statement = select(azure_bodies).where(*some, ~ours).order_by(of.name).limit(most)
    return [_row(row) for row in connection.execute(statement)]


def remove(unit: Unit, workspace: str, collection: str, name: str) -> bool:
    of = azure_bodies.c
    statement = delete(azure_bodies).where(of.workspace == workspace, of.collection == collection, of.name == name)
    return unit.connection.execute(statement).rowcount > 0


def _values(row: BodyRow) -> dict[str, Any]:
    return {
        "workspace": row.workspace,
        "collection": row.collection,
        "name": row.name,
        "version": row.version,
        "body": codec.dump(dict(row.body)),
        "deleted": row.deleted,
        "created_by": row.created_by,
        "created_at": row.created_at,
    }


def _row(row: Row[Any]) -> BodyRow:
    return BodyRow(
        row.workspace,
        row.collection,
        row.name,
        row.version,
        codec.load(row.body),
        row.created_by,
        Millis(row.created_at),
        row.deleted,
    )
