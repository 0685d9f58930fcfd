"""Datastores, and what lies in those of Mayfly's own, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, or_, select

from mayfly.kit.clock import Millis
from mayfly.kit.ids import WorkspaceId
from mayfly.store import assets, codec, dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import datastores, placements
from mayfly.store.unit import Unit

_NEVER = Millis(0)
_PLACE = Statement(insert(placements))
DEFAULT = "workspaceblobstore"
ASSETS = "assets"
TREES = "trees"
"""Of no workspace: every tree that is kept, below its digest. Only who was told a digest may look."""


@dataclass(frozen=True, slots=True)
class DatastoreRow:
    workspace: WorkspaceId
    name: str
    type: str
    body: Mapping[str, Any]
    secret: str | None
    created_at: Millis


@dataclass(frozen=True, slots=True)
class Placement:
    path: str
    tree: str
    is_file: bool
    sequence: int = 0
    """Its place in the order, once it is kept."""
    created_at: Millis = _NEVER


def put(unit: Unit, row: DatastoreRow) -> None:
    """Make it, or give one of that name this definition."""
    values = {
        "workspace": row.workspace,
        "name": row.name,
        "type": row.type,
        "body": codec.dump(dict(row.body)),
        "secret": row.secret,
        "is_default": False,
        "created_at": row.created_at,
    }
    dialect.insert_or_replace(unit.connection, datastores, values, ["workspace", "name"])


def find(connection: Connection, workspace: str, name: str) -> DatastoreRow | None:
    statement = select(datastores).where(datastores.c.workspace == workspace, datastores.c.name == name)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _row(row)


def of(connection: Connection, workspace: str) -> list[DatastoreRow]:
    statement = select(datastores).where(datastores.c.workspace == workspace).order_by(datastores.c.name)
    return [_row(row) for row in connection.execute(statement)]


def remove(unit: Unit, workspace: str, name: str) -> bool:
    statement = delete(datastores).where(datastores.c.workspace == workspace, datastores.c.name == name)
    return unit.connection.execute(statement).rowcount > 0


def place(
    unit: Unit,
    workspace: str,
    datastore: str,
    placement: Placement,
    now: Millis,
    *,
    job: str | None = None,
    attempt: int | None = None,
) -> None:
    """Lay a tree at a path of a datastore of Mayfly's own, over what was there, at the unit's end."""
    row = {
        "workspace": workspace,
        "datastore": datastore,
        "path": placement.path,
        "tree": placement.tree,
        "is_file": placement.is_file,
        "job": job,
        "attempt": attempt,
        "created_at": now,
    }
    unit.at_end(_PLACE.run_all, [row])


def placed(connection: Connection, workspace: str, datastore: str, path: str) -> list[Placement]:
    """What may have something at or below a path, newest first."""
    statement = select(placements).where(placements.c.workspace == workspace, placements.c.datastore == datastore)
    if path:
        parts = path.split("/")
        above = ["", *("/".join(parts[: count + 1]) for count in range(len(parts)))]
        below = placements.c.path.startswith(f"{path}/", autoescape=True)
        statement = statement.where(or_(placements.c.path.in_(above), below))
    return _placements(connection, statement) + _held(connection, workspace, datastore, path.split("/"))


def placed_at(connection: Connection, workspace: str, datastore: str, parts: Sequence[str]) -> list[Placement]:
    """What is laid at or above a path, newest first."""
    above = ["", *("/".join(parts[: count + 1]) for count in range(len(parts)))]
    statement = select(placements).where(
        placements.c.workspace == workspace, placements.c.datastore == datastore, placements.c.path.in_(above)
    )
    return _placements(connection, statement) + _held(connection, workspace, datastore, parts)


def placed_within(connection: Connection, workspace: str, datastore: str, prefix: str) -> list[Placement]:
    """What may have something whose path begins with that text, newest first."""
    parts = prefix.split("/")[:-1]
    above = ["", *("/".join(parts[: count + 1]) for count in range(len(parts)))]
    statement = select(placements).where(
        placements.c.workspace == workspace,
        placements.c.datastore == datastore,
        or_(placements.c.path.in_(above), placements.c.path.startswith(prefix, autoescape=True)),
    )
    return _placements(connection, statement) + _held(connection, workspace, datastore, prefix.split("/"))


def _held(connection: Connection, workspace: str, datastore: str, parts: Sequence[str]) -> list[Placement]:
    """What lies where nobody laid it: a version of an asset, at `assets/<kind>/<name>/<version>/<any word>` of the default
    datastore, and a tree below its digest."""
    if datastore == TREES and parts[0]:
        return [Placement(parts[0], parts[0], False)]
    if datastore != DEFAULT or parts[0] != ASSETS or len(parts) < 5 or not parts[4]:
        return []
    row = assets.find(connection, WorkspaceId(workspace), parts[1], parts[2], parts[3])
    if row is None or row.tree is None:
        return []
    return [Placement("/".join(parts[:5]), row.tree, row.is_file, created_at=row.created_at)]


def _placements(connection: Connection, statement: Select[Any]) -> list[Placement]:
    rows = connection.execute(statement.order_by(placements.c.sequence.desc()))
    return [Placement(row.path, row.tree, row.is_file, row.sequence, Millis(row.created_at)) for row in rows]


def _row(row: Row[Any]) -> DatastoreRow:
    return DatastoreRow(
        WorkspaceId(row.workspace), row.name, row.type, codec.load(row.body), row.secret, Millis(row.created_at)
    )
