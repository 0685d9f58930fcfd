"""Code assets as rows: a version of a name is one tree for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from mayfly.kit.clock import Millis
from mayfly.store import codec, dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import codes
from mayfly.store.unit import Store, Unit

_KEYS = ("workspace", "name", "version")
_ONE = Statement(select(codes).where(*(codes.c[key] == bindparam(key) for key in _KEYS)))


@dataclass(frozen=True, slots=True)
class CodeRow:
    workspace: str
    name: str
    version: str
    hash: str
    """Of its files, as Azure's clients make it (`services.codes`)."""
    tree: str
    datastore: str
    path: str
    """Where it was sent to."""
    body: Mapping[str, Any]
    created_by: str
    created_at: Millis


def add(unit: Unit, row: CodeRow) -> tuple[CodeRow, bool]:
    """The row of that name and version: this one, or (False) the one that was there."""
    values = {
        "workspace": row.workspace,
        "name": row.name,
        "version": row.version,
        "hash": row.hash,
        "tree": row.tree,
        "datastore": row.datastore,
        "path": row.path,
        "body": codec.dump(dict(row.body)),
        "created_by": row.created_by,
        "created_at": row.created_at,
    }
    made = dialect.insert_or_leave(unit.connection, codes, [values]) > 0
    found = find(unit.connection, row.workspace, row.name, row.version)
    assert found is not None
    return found, made


def find(connection: Connection, workspace: str, name: str, version: str) -> CodeRow | None:
    found = _ONE.one(connection, {"workspace": workspace, "name": name, "version": version})
    return None if found is None else _row(found)


def known(store: Store, workspace: str, name: str, version: str) -> CodeRow | None:
    """As `find`, now."""
    return store.recall(("code", workspace, name, version), (codes,), lambda c: find(c, workspace, name, version))


def versions(connection: Connection, workspace: str, name: str) -> list[CodeRow]:
    """Newest first."""
    statement = select(codes).where(codes.c.workspace == workspace, codes.c.name == name)
    return [_row(row) for row in connection.execute(statement.order_by(codes.c.created_at.desc(), codes.c.version))]


def by_hash(connection: Connection, workspace: str, hash: str) -> list[CodeRow]:
    """Oldest first."""
    statement = select(codes).where(codes.c.workspace == workspace, codes.c.hash == hash)
    return [_row(row) for row in connection.execute(statement.order_by(codes.c.created_at, codes.c.name))]


def known_by_hash(store: Store, workspace: str, hash: str) -> list[CodeRow]:
    """As `by_hash`, now."""
    return store.recall(("codes", workspace, hash), (codes,), lambda connection: by_hash(connection, workspace, hash))


def _row(row: Row[Any]) -> CodeRow:
    return CodeRow(
        row.workspace,
        row.name,
        row.version,
        row.hash,
        row.tree,
        row.datastore,
        row.path,
        codec.load(row.body),
        row.created_by,
        Millis(row.created_at),
    )
