"""Datastores: Mayfly's own, which are rows over the content store, and storage elsewhere with its sealed keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mayfly.domain import addresses
from mayfly.domain.blobs import file_path
from mayfly.domain.references import DatastoreReference
from mayfly.kit.errors import Conflict, Invalid, NotFound, nearest
from mayfly.kit.ids import Digest, WorkspaceId
from mayfly.ports import storage
from mayfly.services import blobs as blob_service
from mayfly.services import places
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec import datastore as spec
from mayfly.store import blobs, datastores
from mayfly.store.blobs import BlobRow
from mayfly.store.datastores import DatastoreRow, Placement
from mayfly.store.unit import Unit
from mayfly.transfer import subtrees, trees
from mayfly.wire import data as wire
from mayfly.wire.agent import Tree, TreeEntry

DEFAULT = datastores.DEFAULT
OWN = (DEFAULT, "workspaceartifactstore", "workspacefilestore", "workspaceworkingdirectory")
"""Mayfly's, in every workspace."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}\Z")


@dataclass(frozen=True, slots=True)
class Outside:
    """A place elsewhere, as job rows keep it: no secret in it."""

    address: str
    workspace: str = ""
    datastore: str = ""
    """Whose credentials open it; '' is the server's own, or nobody's."""


def own(name: str) -> bool:
    return name in OWN


def create(world: World, place: Place, definition: dict[str, Any]) -> wire.DatastoreView:
    """Keep it, its key sealed; one of that name is given this definition. Raises Invalid with pointers, Conflict
    `DatastoreNameTaken` for a name of Mayfly's own."""
    given = spec.parse(definition)
    if not _NAME.match(given.name):
        raise Invalid("DatastoreNameInvalid", f"{given.name[:60]!r} cannot name a datastore.", pointer="/name")
    if own(given.name):
        raise Conflict("DatastoreNameTaken", f"'{given.name}' is Mayfly's own.", pointer="/name")
    workspace = places.create(world, place)[0]
    secret = world.sealing.seal(given.secrets, _owner(workspace.id, given.name)) if given.secrets else None
    row = DatastoreRow(workspace.id, given.name, given.type, given.body, secret, world.clock.now())
    world.store.write(lambda unit: datastores.put(unit, row))
    return view(row)


def listing(world: World, place: Place) -> list[wire.DatastoreView]:
    workspace = places.find(world, place)
    rows = world.store.read(lambda connection: datastores.of(connection, workspace.id))
    return [*(_own_view(name) for name in OWN), *(view(row) for row in rows)]


def show(world: World, place: Place, name: str) -> wire.DatastoreView:
    if own(name):
        return _own_view(name)
    workspace = places.find(world, place)
    return view(world.store.read(lambda connection: _find(connection, workspace.id, name)))


def delete(world: World, place: Place, name: str) -> None:
    """Forget it and its key; what lies in it stays where it is."""
    if own(name):
        raise Conflict("DatastoreNameTaken", f"'{name}' is Mayfly's own and stays.")
    workspace = places.find(world, place)

    def remove(unit: Unit) -> None:
        if not datastores.remove(unit, workspace.id, name):
            _find(unit.connection, workspace.id, name)

    world.store.write(remove)


def view(row: DatastoreRow) -> wire.DatastoreView:
    return wire.DatastoreView(
        name=row.name,
        type=row.type,
        address=spec.parse(row.body).address,
        has_credentials=row.secret is not None,
        created_at=row.created_at,
        definition=dict(row.body),
    )


def _own_view(name: str) -> wire.DatastoreView:
    return wire.DatastoreView(
        name=name,
        type="mayfly",
        address=f"azureml://datastores/{name}/paths/",
        is_default=name == DEFAULT,
        own=True,
    )


# --- what lies in them ------------------------------------------------------------------------------------------------


def check(world: World, workspace: WorkspaceId, name: str) -> None:
    """Raises NotFound `DatastoreNotFound`."""
    if not own(name):
        world.store.read(lambda connection: _find(connection, workspace, name))


def outside(world: World, workspace: WorkspaceId, reference: DatastoreReference) -> Outside:
    """Where a path of a datastore elsewhere lies. Raises NotFound `DatastoreNotFound`."""
    row = world.store.read(lambda connection: _find(connection, workspace, reference.datastore))
    address = addresses.join(spec.parse(row.body).address, reference.path)
    return Outside(address, workspace, row.name)


def keys_for(world: World, workspace: WorkspaceId, address: str) -> Outside:
    """An address that people gave as it is: opened with the keys of the datastore it lies in, if there is one."""
    rows = world.store.read(lambda connection: datastores.of(connection, workspace))
    fitting = [row for row in rows if addresses.within(spec.parse(row.body).address, address)]
    best = max(fitting, key=lambda row: len(spec.parse(row.body).address), default=None)
    return Outside(address, workspace if best else "", best.name if best else "")


def opened(world: World, place: Outside) -> storage.Place:
    """With its credentials. Raises NotFound `DatastoreNotFound` when the datastore is gone, Forbidden
    `SecretUnreadable`."""
    if not place.datastore:
        return storage.Place(place.address)
    row = world.store.read(lambda connection: _find(connection, WorkspaceId(place.workspace), place.datastore))
    keys = world.sealing.unseal(row.secret, _owner(row.workspace, row.name)) if row.secret else {}
    return storage.Place(place.address, {**spec.parse(row.body).options, **keys})


def held(world: World, workspace: WorkspaceId, reference: DatastoreReference) -> tuple[str, bool]:
    """The tree at a path of a datastore of Mayfly's own, and whether it is a single file. Raises NotFound
    `DataNotFound`."""
    found = subtrees.part(_merged(world, workspace, reference.datastore, reference.path), reference.path)
    if found is None or not found[0].entries:
        raise NotFound(
            "DataNotFound",
            f"There is nothing at '{reference}'.",
            remedy="The outputs of a job lie at azureml/<job>/<output>; see mayfly job show.",
        )
    return keep_tree(world, found[0]), found[1]


def _merged(world: World, workspace: WorkspaceId, name: str, path: str) -> Tree:
    """At least what lies at or below a path: trees and single blobs, the newest over the others."""

    def look(connection: Connection) -> tuple[list[Placement], list[BlobRow]]:
        return datastores.placed(connection, workspace, name, path), blobs.around(connection, workspace, name, path)

    laid, single = world.store.read(look)
    removed = {row.path: row.after for row in single if row.digest is None}
    layers = []
    for row in laid:
        tree = subtrees.placed(world.trees.read(world.content, row.tree), row.path, is_file=row.is_file)
        left = tuple(one for one in tree.entries if removed.get(one.path, -1) < row.sequence)
        layers.append(((row.sequence, 0, 0, ""), Tree(entries=left)))
    for row in single:
        where = file_path(row.path)
        if row.digest is not None and where:
            entry = TreeEntry(path=where, digest=row.digest, size=row.size)
            layers.append(((row.after, 1, row.modified_at, row.etag), Tree(entries=(entry,))))
    layers.sort(key=lambda layer: layer[0], reverse=True)
    return subtrees.merged(tree for _, tree in layers)


def addressed(world: World, workspace: WorkspaceId, address: str) -> tuple[DatastoreReference, str, bool] | None:
    """What lies at the address of a blob, or of a folder of blobs: as what it is known, its tree, and whether it is a
    single file. None for what is not in this workspace's own datastores. Raises NotFound `DataNotFound`.

    Clients write names into addresses as they are, so a '%' may stand for itself."""
    failure: NotFound | None = None
    for reference in blob_service.referred(workspace, address):
        try:
            return (reference, *held(world, workspace, reference))
        except NotFound as error:
            failure = error
    if failure is not None:
        raise failure
    return None


def place_tree(unit: Unit, world: World, workspace: str, datastore: str, placement: Placement) -> None:
    datastores.place(unit, workspace, datastore, placement, world.clock.now())


def read_tree(world: World, digest: str) -> Tree:
    return trees.decode(b"".join(world.content.open(Digest(digest))))


def keep_tree(world: World, tree: Tree) -> str:
    """Its digest; kept. Its files are said to be wanted, so that nobody clears them away meanwhile."""
    digest = trees.digest_of(tree)
    world.content.missing([Digest(entry.digest) for entry in tree.entries])
    world.content.put(digest, [trees.canonical(tree)])
    return digest


def _find(connection: Connection, workspace: WorkspaceId, name: str) -> DatastoreRow:
    row = datastores.find(connection, workspace, name)
    if row is None:
        known = [*OWN, *(one.name for one in datastores.of(connection, workspace))]
        near = nearest(name, known)
        raise NotFound(
            "DatastoreNotFound",
            f"There is no datastore '{name}' here.",
            remedy=f"Did you mean '{near}'?" if near else f"There are: {', '.join(known)}.",
        )
    return row


def _owner(workspace: str, name: str) -> str:
    return f"{workspace}/{name}"
