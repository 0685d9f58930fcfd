"""Assets: data, models, environments and components by name and version, each workspace's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from mayfly.domain.references import AssetKind, AssetReference
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, Invalid, NotFound, nearest
from mayfly.kit.ids import WorkspaceId
from mayfly.services import places
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import assets, codec, jobs
from mayfly.store.assets import AssetRow, Which
from mayfly.store.unit import Unit
from mayfly.wire import assets as wire

LATEST = "latest"
"""The one label there is: the version created last of those that are not archived (semantics §2)."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}\Z")
_MODEL_NAME = re.compile(r"[^/:@\x00-\x1f\x7f\\]{1,255}\Z")  # MLflow allows more than Azure does
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}\Z")
_NUMBER = re.compile(r"[0-9]{1,15}\Z")


@dataclass(frozen=True, slots=True)
class NewAsset:
    kind: AssetKind
    name: str
    version: str | None
    """None: the next number."""
    type: str
    definition: Mapping[str, Any] = field(default_factory=dict)
    """What its kind has of its own. With type and content it is what the version means, and never changes."""
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    """Where its content lies, as an address that jobs can be given."""
    tree: str | None = None
    """Its content, where Mayfly holds it."""
    is_file: bool = False
    job: str | None = None
    """The job that made it."""

    @property
    def digest(self) -> str:
        content = [self.tree, self.is_file] if self.tree is not None else [self.place]
        return hashlib.sha256(codec.dump([self.type, content, dict(self.definition)]).encode()).hexdigest()


def register(world: World, who: str, place: Place, asset: NewAsset) -> tuple[AssetRow, bool]:
    """Keep it; durable when it returns. The second value is False when this version was there with the same definition:
    its description, tags and properties are then the new ones.

    Raises Conflict `AssetVersionTaken` for another definition, Invalid `AssetNameInvalid`, `AssetVersionInvalid`."""
    check_names(asset)
    workspace = places.create(world, place)[0]
    there = _kept(world, workspace.id, asset)
    if there is not None:
        return there, False
    now = world.clock.now()
    try:
        return world.store.write(lambda unit: keep(unit, workspace.id, who, asset, now))
    except IntegrityError:  # two servers kept one version at once: the other one's is there now
        return world.store.write(lambda unit: keep(unit, workspace.id, who, asset, now))


def _kept(world: World, workspace: WorkspaceId, asset: NewAsset) -> AssetRow | None:
    """The version where nothing about it would change: clients send it again before each job."""
    version = asset.version
    if version is None:
        return None
    there = assets.known(world.store, workspace, asset.kind, asset.name, version)
    if there is None or there.digest != asset.digest:
        return None
    said = (asset.description, dict(asset.tags), dict(asset.properties))
    return there if (there.description, dict(there.tags), dict(there.properties)) == said else None


def keep(unit: Unit, workspace: WorkspaceId, who: str, asset: NewAsset, now: Millis) -> tuple[AssetRow, bool]:
    """As `register`, inside a unit of the caller's; names are not checked again."""
    number = assets.lock_name(unit, workspace, asset.kind, asset.name)
    version = asset.version
    if version is None:
        while assets.find(unit.connection, workspace, asset.kind, asset.name, str(number)) is not None:
            number += 1
        version = str(number)
    row = AssetRow(
        workspace=workspace,
        kind=asset.kind.value,
        name=asset.name,
        version=version,
        type=asset.type,
        digest=asset.digest,
        definition=asset.definition,
        created_by=who,
        created_at=now,
        description=asset.description,
        tags=asset.tags,
        properties=asset.properties,
        place=asset.place,
        tree=asset.tree,
        is_file=asset.is_file,
        job=asset.job,
    )
    there = assets.find(unit.connection, workspace, asset.kind, asset.name, version)
    if there is not None:
        return _same(unit, there, row), False
    if _NUMBER.match(version) and int(version) >= number:
        assets.set_next(unit, workspace, asset.kind, asset.name, int(version) + 1)
    return assets.add(unit, row), True


def _same(unit: Unit, there: AssetRow, row: AssetRow) -> AssetRow:
    if there.digest != row.digest:
        raise Conflict(
            "AssetVersionTaken",
            f"Version {row.version} of the {row.kind} '{row.name}' exists with another definition.",
            remedy="Choose another version, or leave 'version' out and get the next number.",
            pointer="/version",
        )
    now = replace(there, description=row.description, tags=row.tags, properties=row.properties)
    if now != there:
        assets.relabel(unit, now)
    return now


def check_names(asset: NewAsset) -> None:
    """Raises Invalid `AssetNameInvalid`, `AssetVersionInvalid`."""
    pattern = _MODEL_NAME if asset.kind is AssetKind.MODEL else _NAME
    if not pattern.match(asset.name) or asset.name.strip(". ") == "":
        raise Invalid(
            "AssetNameInvalid",
            f"{asset.name[:60]!r} cannot be the name of a {asset.kind.value}.",
            pointer="/name",
            remedy="Use up to 255 letters, digits, '_', '-' and '.', beginning with a letter or digit.",
        )
    if asset.version is not None and (not _VERSION.match(asset.version) or asset.version.lower() == LATEST):
        raise Invalid(
            "AssetVersionInvalid",
            f"{asset.version[:60]!r} cannot be a version.",
            pointer="/version",
            remedy="Use up to 64 letters, digits, '_', '-', '.' and '+', as in 1 or 2024.05.",
        )


# --- finding ----------------------------------------------------------------------------------------------------------


def find(
    world: World, place: Place, kind: AssetKind, name: str, *, version: str | None = None, label: str | None = None
) -> AssetRow:
    """A version, archived or not; by a label (or neither) an unarchived one. Raises NotFound `AssetNotFound`,
    `AssetVersionNotFound`, `AssetArchived`, `AssetLabelNotFound`, each with what is near."""
    workspace = places.find(world, place)
    known = None if version is None else assets.known(world.store, workspace.id, kind, name, version)
    return known or world.store.read(lambda connection: find_in(connection, workspace.id, kind, name, version, label))


def find_reference(world: World, place: Place, kind: AssetKind, reference: AssetReference) -> AssetRow:
    """What a reference means here; another workspace's, where it names one. Raises as `find`, and Invalid
    `AssetKindWrong` when the reference says it is something else."""
    if reference.kind is not None and reference.kind is not kind:
        raise Invalid("AssetKindWrong", f"'{reference}' is a {reference.kind.value}, not a {kind.value}.")
    if reference.workspace is not None:
        there = reference.workspace
        place = Place(there.subscription, there.resource_group, there.workspace)
    return find(world, place, kind, reference.name, version=reference.version, label=reference.label)


def find_in(
    connection: Connection,
    workspace: WorkspaceId,
    kind: AssetKind,
    name: str,
    version: str | None = None,
    label: str | None = None,
) -> AssetRow:
    """As `find`, on a view of the caller's."""
    if version is not None:
        found = assets.find(connection, workspace, kind, name, version)
    elif label is None or label.lower() == LATEST:
        found = assets.latest(connection, workspace, kind, name)
    else:
        found = None
    if found is None:
        raise _absent(connection, workspace, kind, name, version, label)
    return found


def _absent(
    connection: Connection, workspace: WorkspaceId, kind: AssetKind, name: str, version: str | None, label: str | None
) -> NotFound:
    known = assets.versions(connection, workspace, kind, name, which="all", most=200)
    if not known:
        near = nearest(name, assets.names(connection, workspace, kind))
        return NotFound(
            "AssetNotFound",
            f"There is no {kind.value} '{name}' here.",
            remedy=f"Did you mean '{near}'?" if near else f"'mayfly {kind.value} list' shows what there is.",
        )
    active = [row.version for row in known if not row.archived]
    listed = ", ".join(active[:5]) + (" …" if len(active) > 5 else "")
    if version is not None:
        near = nearest(version, [row.version for row in known])
        hint = f"Did you mean {near}? " if near and near not in active[:5] else ""
        return NotFound(
            "AssetVersionNotFound",
            f"The {kind.value} '{name}' has no version {version}.",
            remedy=f"{hint}It has: {listed}." if listed else f"All its versions are archived. {hint}".strip(),
        )
    if label is not None and label.lower() != LATEST:
        return NotFound(
            "AssetLabelNotFound",
            f"The {kind.value} '{name}' has no label '{label}'.",
            remedy=f"Write @latest, or a version: {listed}." if listed else "Write a version.",
        )
    which = "" if assets.name_is_archived(connection, workspace, kind, name) else f" --version {known[0].version}"
    return NotFound(
        "AssetArchived",
        f"Every version of the {kind.value} '{name}' is archived.",
        remedy=f"Name a version ({known[0].version}), or: mayfly {kind.value} restore --name {name}{which}",
    )


# --- lists and the archive --------------------------------------------------------------------------------------------


def page(world: World, place: Place, kind: AssetKind, most: int, after: str | None, which: Which) -> wire.AssetPage:
    """The newest version of each name, by name."""
    workspace = places.find(world, place)
    rows = world.store.read(
        lambda connection: assets.newest(connection, workspace.id, kind, which=which, most=most + 1, after=after)
    )
    return wire.AssetPage(assets=[view(row) for row in rows[:most]], more=len(rows) > most)


def version_page(
    world: World, place: Place, kind: AssetKind, name: str, most: int, after: str | None, which: Which
) -> wire.AssetPage:
    """The versions of a name, newest first, after the version `after`. Raises NotFound `AssetNotFound`."""
    rows = version_rows(world, place, kind, name, most + 1, after, which)
    return wire.AssetPage(assets=[view(row) for row in rows[:most]], more=len(rows) > most)


def version_rows(
    world: World, place: Place, kind: AssetKind, name: str, most: int, after: str | None, which: Which
) -> list[AssetRow]:
    """As `version_page`, up to `most` rows."""
    workspace = places.find(world, place)

    def look(connection: Connection) -> list[AssetRow]:
        before = None if after is None else find_in(connection, workspace.id, kind, name, after).sequence
        rows = assets.versions(connection, workspace.id, kind, name, which=which, most=most, before=before)
        if not rows and not assets.versions(connection, workspace.id, kind, name, which="all", most=1):
            raise _absent(connection, workspace.id, kind, name, None, None)
        return rows

    return world.store.read(look)


def name(world: World, place: Place, kind: AssetKind, name: str) -> tuple[AssetRow, int, bool]:
    """What the versions of a name share: its newest version, not archived where there is one such, the next number, and
    whether all of it is archived. Raises NotFound `AssetNotFound`."""
    workspace = places.find(world, place)

    def look(connection: Connection) -> tuple[AssetRow, int, bool]:
        newest = assets.latest(connection, workspace.id, kind, name)
        if newest is None:
            known = assets.versions(connection, workspace.id, kind, name, which="all", most=1)
            if not known:
                raise _absent(connection, workspace.id, kind, name, None, None)
            newest = known[0]
        following = assets.next_version(connection, workspace.id, kind, name)
        return newest, following, assets.name_is_archived(connection, workspace.id, kind, name)

    return world.store.read(look)


def archive(
    world: World, place: Place, kind: AssetKind, name: str, version: str | None, *, archived: bool
) -> list[wire.AssetView]:
    """Hide a version, or every one of a name (None), from lists and labels, or bring it back; what it is now. Raises
    NotFound."""
    workspace = places.find(world, place)

    def change(unit: Unit) -> list[AssetRow]:
        if not assets.archive(unit, workspace.id, kind, name, version, archived):
            raise _absent(unit.connection, workspace.id, kind, name, version, None)
        if version is not None:
            return [find_in(unit.connection, workspace.id, kind, name, version)]
        return assets.versions(unit.connection, workspace.id, kind, name, which="all")

    return [view(row) for row in world.store.write(change)]


def job_of(world: World, row: AssetRow) -> str | None:
    """The name of the job that made it, or whose output it was registered from."""
    job = row.job
    made = None if job is None else world.store.read(lambda connection: jobs.by_id(connection, job))
    return None if made is None else made.name


def view(row: AssetRow) -> wire.AssetView:
    return wire.AssetView(
        kind=row.kind,
        name=row.name,
        version=row.version,
        type=row.type,
        description=row.description,
        tags=dict(row.tags),
        properties=dict(row.properties),
        path=row.place or "",
        tree=row.tree,
        is_file=row.is_file,
        job=row.job,
        archived=row.archived,
        created_by=row.created_by,
        created_at=row.created_at,
        definition=dict(row.definition),
    )
