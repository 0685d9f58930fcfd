"""Assets as rows: every version of a data, model, environment or component asset, and what the versions of a name share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, select, true, update

from mayfly.kit.clock import Millis
from mayfly.kit.ids import WorkspaceId
from mayfly.store import codec, dialect
from mayfly.store.tables import asset_names, assets
from mayfly.store.unit import Store, Unit

Which = Literal["active", "archived", "all"]


@dataclass(frozen=True, slots=True)
class AssetRow:
    workspace: WorkspaceId
    kind: str
    name: str
    version: str
    type: str
    digest: str
    definition: Mapping[str, Any]
    """What its kind has of its own."""
    created_by: str
    created_at: Millis
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    tree: str | None = None
    is_file: bool = False
    job: str | None = None
    archived: bool = False
    """This version, or all of its name."""
    sequence: int = 0


def add(unit: Unit, row: AssetRow) -> AssetRow:
    """Insert; the row with its sequence. Raises IntegrityError when the version is there."""
    result = unit.connection.execute(
        insert(assets).values(
            workspace=row.workspace,
            kind=row.kind,
            name=row.name,
            version=row.version,
            type=row.type,
            digest=row.digest,
            body=_body(row),
            place=row.place,
            tree=row.tree,
            is_file=row.is_file,
            job=row.job,
            archived=False,
            created_by=row.created_by,
            created_at=row.created_at,
        )
    )
    key = result.inserted_primary_key
    sequence = int(key[0]) if key is not None else 0
    return _row(unit.connection.execute(_select(assets.c.sequence == sequence)).one())


def relabel(unit: Unit, row: AssetRow) -> None:
    """Description, tags and properties as the row has them: what may change of a version."""
    unit.connection.execute(update(assets).where(assets.c.sequence == row.sequence).values(body=_body(row)))


def lock_name(unit: Unit, workspace: WorkspaceId, kind: str, name: str) -> int:
    """Make the name if it is new, hold it until the unit ends, and bring it back from the archive; the next number for
    a version without one."""
    fresh = {"workspace": workspace, "kind": kind, "name": name, "next_version": 1, "archived": False}
    dialect.insert_or_leave(unit.connection, asset_names, [fresh])
    one = _name(workspace, kind, name)
    statement = select(asset_names).where(one)
    found = unit.connection.execute(dialect.locked(unit.connection, statement)).one()
    if found.archived:
        unit.connection.execute(update(asset_names).where(one).values(archived=False))
    return found.next_version


def set_next(unit: Unit, workspace: WorkspaceId, kind: str, name: str, number: int) -> None:
    unit.connection.execute(update(asset_names).where(_name(workspace, kind, name)).values(next_version=number))


def find(connection: Connection, workspace: WorkspaceId, kind: str, name: str, version: str) -> AssetRow | None:
    """Archived or not."""
    found = connection.execute(_select(_of(workspace, kind, name), assets.c.version == version)).one_or_none()
    return None if found is None else _row(found)


def known(store: Store, workspace: WorkspaceId, kind: str, name: str, version: str) -> AssetRow | None:
    """As `find`, now."""
    look = lambda connection: find(connection, workspace, kind, name, version)  # noqa: E731
    return store.recall(("asset", workspace, kind, name, version), (assets, asset_names), look)


def latest(connection: Connection, workspace: WorkspaceId, kind: str, name: str) -> AssetRow | None:
    """The most recently created version that is not archived."""
    statement = _select(_of(workspace, kind, name), _active()).order_by(assets.c.sequence.desc()).limit(1)
    found = connection.execute(statement).one_or_none()
    return None if found is None else _row(found)


def versions(
    connection: Connection,
    workspace: WorkspaceId,
    kind: str,
    name: str,
    *,
    which: Which = "active",
    most: int = 1000,
    before: int | None = None,
) -> list[AssetRow]:
    """Newest first, those of a sequence below `before`."""
    statement = _select(_of(workspace, kind, name), _which(which)).order_by(assets.c.sequence.desc()).limit(most)
    if before is not None:
        statement = statement.where(assets.c.sequence < before)
    return [_row(row) for row in connection.execute(statement)]


def active(connection: Connection, workspace: WorkspaceId, kind: str) -> set[int]:
    """The sequences of all versions of all names that are not archived."""
    there = (assets.c.workspace == workspace, assets.c.kind == kind, _active())
    return set(connection.scalars(select(assets.c.sequence).select_from(_joined()).where(*there)))


def at(connection: Connection, sequence: int) -> AssetRow | None:
    found = connection.execute(_select(assets.c.sequence == sequence)).one_or_none()
    return None if found is None else _row(found)


def newest(
    connection: Connection,
    workspace: WorkspaceId,
    kind: str,
    *,
    which: Which = "active",
    most: int = 1000,
    after: str | None = None,
) -> list[AssetRow]:
    """The newest version of each name, by name, those after the name `after`."""
    inside = (
        select(func.max(assets.c.sequence))
        .select_from(_joined())
        .where(assets.c.workspace == workspace, assets.c.kind == kind, _which(which))
        .group_by(assets.c.name)
        .order_by(assets.c.name)
        .limit(most)
    )
    if after is not None:
        inside = inside.where(assets.c.name > after)
    found = connection.scalars(inside).all()
    statement = _select(assets.c.sequence.in_(found)).order_by(assets.c.name)
    return [_row(row) for row in connection.execute(statement)]


def names(connection: Connection, workspace: WorkspaceId, kind: str, most: int = 500) -> list[str]:
    """For near matches."""
    statement = select(asset_names.c.name).where(asset_names.c.workspace == workspace, asset_names.c.kind == kind)
    return list(connection.scalars(statement.limit(most)))


def archive(unit: Unit, workspace: WorkspaceId, kind: str, name: str, version: str | None, archived: bool) -> bool:
    """One version, or (None) the whole name; False when there is none such."""
    if version is None:
        statement = update(asset_names).where(_name(workspace, kind, name)).values(archived=archived)
    else:
        there = and_(
            assets.c.workspace == workspace, assets.c.kind == kind, assets.c.name == name, assets.c.version == version
        )
        statement = update(assets).where(there).values(archived=archived)
    return unit.connection.execute(statement).rowcount > 0


def name_is_archived(connection: Connection, workspace: WorkspaceId, kind: str, name: str) -> bool:
    """The name itself, rather than its versions one by one."""
    return bool(connection.scalar(select(asset_names.c.archived).where(_name(workspace, kind, name))))


def next_version(connection: Connection, workspace: WorkspaceId, kind: str, name: str) -> int:
    """The next number for a version without one."""
    found = connection.scalar(select(asset_names.c.next_version).where(_name(workspace, kind, name)))
    return found or 1


def _joined():
    return assets.join(
        asset_names,
        and_(
            asset_names.c.workspace == assets.c.workspace,
            asset_names.c.kind == assets.c.kind,
            asset_names.c.name == assets.c.name,
        ),
    )


def _select(*where: ColumnElement[bool]) -> Select[Any]:
    return select(assets, asset_names.c.archived.label("name_archived")).select_from(_joined()).where(*where)


def _of(workspace: WorkspaceId, kind: str, name: str) -> ColumnElement[bool]:
    return and_(assets.c.workspace == workspace, assets.c.kind == kind, assets.c.name == name)


def _name(workspace: WorkspaceId, kind: str, name: str) -> ColumnElement[bool]:
    return and_(asset_names.c.workspace == workspace, asset_names.c.kind == kind, asset_names.c.name == name)


def _active() -> ColumnElement[bool]:
    return and_(assets.c.archived.is_(False), asset_names.c.archived.is_(False))


def _which(which: Which) -> ColumnElement[bool]:
    return {"active": _active(), "archived": ~_active(), "all": true()}[which]


def _body(row: AssetRow) -> str:
    return codec.dump(
        {
            "description": row.description,
            "tags": dict(row.tags),
            "properties": dict(row.properties),
            "definition": dict(row.definition),
        }
    )


def _row(row: Row[Any]) -> AssetRow:
    body = codec.load(row.body)
    return AssetRow(
        workspace=WorkspaceId(row.workspace),
        kind=row.kind,
        name=row.name,
        version=row.version,
        type=row.type,
        digest=row.digest,
        definition=body["definition"],
        created_by=row.created_by,
        created_at=Millis(row.created_at),
        description=body["description"],
        tags=body["tags"],
        properties=body["properties"],
        place=row.place,
        tree=row.tree,
        is_file=row.is_file,
        job=row.job,
        archived=row.archived or row.name_archived,
        sequence=row.sequence,
    )
