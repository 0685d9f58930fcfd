"""Blobs of Mayfly's own datastores, one by one: a name, and the content that it means now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, or_, select, update

from mayfly.kit.clock import Millis
from mayfly.store import codec, dialect
from mayfly.store.tables import blobs, placements
from mayfly.store.unit import Unit


@dataclass(frozen=True, slots=True)
class BlobRow:
    workspace: str
    datastore: str
    path: str
    digest: str | None
    """None: it was removed, where a tree laid before still has a file of that path."""
    size: int
    after: int
    """The newest tree that was laid over this path when the row was written: a newer one hides the row."""
    etag: str
    created_at: Millis
    modified_at: Millis
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    blocks: Sequence[tuple[str, int]] = ()
    """Name and size of the blocks that it was put together from, in order."""


_KEYS = ("workspace", "datastore", "path")
_NAMED = [blobs.c[key] == bindparam(f"at_{key}") for key in _KEYS]
_SEEN = blobs.c.etag == bindparam("seen")
_FIND = select(blobs).where(*_NAMED)
_DELETE = delete(blobs).where(*_NAMED, _SEEN)
_UPDATE = (
    update(blobs)
    .where(*_NAMED, _SEEN)
    .values({column.name: bindparam(f"new_{column.name}") for column in blobs.c if column.name not in _KEYS})
)
_NEWEST = select(func.max(placements.c.sequence)).where(
    placements.c.workspace == bindparam("workspace"),
    placements.c.datastore == bindparam("datastore"),
    placements.c.path.in_(bindparam("above", expanding=True)),
)
"""Made once: making a statement costs more than running it."""


def find(connection: Connection, workspace: str, datastore: str, path: str) -> BlobRow | None:
    given = {"at_workspace": workspace, "at_datastore": datastore, "at_path": path}
    found = connection.execute(_FIND, given).one_or_none()
    return None if found is None else _row(found)


def swap(unit: Unit, before: BlobRow | None, row: BlobRow) -> bool:
    """Put the row in the place of the one that was seen there (None: nothing was); False, and nothing done, when another
    is there by now."""
    if before is None:
        return dialect.insert_or_leave(unit.connection, blobs, [_values(row)]) > 0
    values = _values(row)
    given = {f"new_{name}": value for name, value in values.items() if name not in _KEYS}
    return unit.connection.execute(_UPDATE, {**given, **_one(row), "seen": before.etag}).rowcount > 0


def remove(unit: Unit, before: BlobRow) -> bool:
    """As `swap`, for nothing in its place."""
    return unit.connection.execute(_DELETE, {**_one(before), "seen": before.etag}).rowcount > 0


def newest_tree(connection: Connection, workspace: str, datastore: str, path: str) -> int:
    """Sequence of the newest tree that is laid at or above a path; 0 when there is none."""
    parts = path.split("/")
    above = ["", *("/".join(parts[: count + 1]) for count in range(len(parts)))]
    return connection.scalar(_NEWEST, {"workspace": workspace, "datastore": datastore, "above": above}) or 0


def onwards(
    connection: Connection, workspace: str, datastore: str, path: str, most: int, *, inclusive: bool = True
) -> list[BlobRow]:
    """From a path on, by the order of their letters; those that were removed too."""
    begin = blobs.c.path >= path if inclusive else blobs.c.path > path
    wanted = select(blobs).where(blobs.c.workspace == workspace, blobs.c.datastore == datastore, begin)
    return [_row(row) for row in connection.execute(wanted.order_by(blobs.c.path).limit(most))]


def around(connection: Connection, workspace: str, datastore: str, path: str) -> list[BlobRow]:
    """Those at, above and below a path, in no order; those that were removed too."""
    wanted = select(blobs).where(blobs.c.workspace == workspace, blobs.c.datastore == datastore)
    if path:
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        below = and_(blobs.c.path > f"{path}/", blobs.c.path < f"{path}0")  # '0' is the letter after '/'
        wanted = wanted.where(or_(blobs.c.path.in_(above), below))
    return [_row(row) for row in connection.execute(wanted)]


def _one(row: BlobRow) -> dict[str, str]:
    return {"at_workspace": row.workspace, "at_datastore": row.datastore, "at_path": row.path}


def _values(row: BlobRow) -> dict[str, Any]:
    return {
        "workspace": row.workspace,
        "datastore": row.datastore,
        "path": row.path,
        "digest": row.digest,
        "size": row.size,
        "after": row.after,
        "etag": row.etag,
        "headers": codec.dump(dict(row.headers)),
        "metadata": codec.dump(dict(row.metadata)),
        "blocks": codec.dump([list(block) for block in row.blocks]),
        "created_at": row.created_at,
        "modified_at": row.modified_at,
    }


def _row(row: Row[Any]) -> BlobRow:
    return BlobRow(
        row.workspace,
        row.datastore,
        row.path,
        row.digest,
        row.size,
        row.after,
        row.etag,
        Millis(row.created_at),
        Millis(row.modified_at),
        codec.load(row.headers),
        codec.load(row.metadata),
        [(name, size) for name, size in codec.load(row.blocks)],
    )
