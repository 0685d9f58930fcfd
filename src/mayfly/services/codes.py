"""Code that the SDK's users send: uploaded as blobs, then registered, and sent once for as long as it does not change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from mayfly.domain.references import DatastoreReference
from mayfly.kit.errors import Conflict, Invalid, NotFound
from mayfly.kit.ids import Digest, WorkspaceId
from mayfly.services import datastores, places
from mayfly.services.holdings import Space
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import codes
from mayfly.store.codes import CodeRow
from mayfly.wire.agent import Tree

HASH_VERSION = "202208"
"""The one way of hashing a folder that clients know: `content_hash`."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}\Z")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}\Z")


def folder(world: World, place: Place, name: str, version: str) -> tuple[Space, str]:
    """Where the files of that code are to be sent. The workspace is there from now on. Raises Invalid
    `AssetNameInvalid`, `AssetVersionInvalid`."""
    _check(name, version)
    workspace = places.create(world, place)[0]
    return Space(workspace.id, datastores.DEFAULT), f"codes/{name}/{version}"


def register(
    world: World, who: str, place: Place, name: str, version: str, address: str, body: Mapping[str, Any]
) -> tuple[CodeRow, bool]:
    """The version is what lies at the address now, whatever becomes of the blobs; durable when it returns. The second
    value is False when it was there with the same files. Raises Conflict `AssetVersionTaken` for others, Invalid
    `CodeUriInvalid`, NotFound `DataNotFound`."""
    _check(name, version)
    workspace = places.create(world, place)[0]
    reference, digest = _sent(world, workspace.id, address)
    tree = datastores.read_tree(world, digest)
    row = CodeRow(
        workspace.id,
        name,
        version,
        content_hash(world, tree),
        digest,
        reference.datastore,
        reference.path,
        body,
        who,
        world.clock.now(),
    )
    kept, made = world.store.write(lambda unit: codes.add(unit, row))
    if kept.tree != row.tree:
        raise Conflict(
            "AssetVersionTaken",
            f"Version {version} of the code '{name}' exists with other files.",
            remedy="Choose another version, or leave name and version out: code is then named by its files.",
        )
    return kept, made


def find(world: World, place: Place, name: str, version: str) -> CodeRow:
    """Raises NotFound `AssetNotFound`."""
    workspace = places.find(world, place)
    found = codes.known(world.store, workspace.id, name, version)
    if found is None:
        raise NotFound("AssetNotFound", f"There is no code '{name}' with version {version} here.")
    return found


def versions(world: World, place: Place, name: str) -> list[CodeRow]:
    """Newest first; none for a name that is not there."""
    workspace = places.find(world, place)
    return world.store.read(lambda connection: codes.versions(connection, workspace.id, name))


def same(world: World, place: Place, hash: str, hash_version: str) -> list[CodeRow]:
    """Those of any name whose files have that hash."""
    workspace = places.find(world, place)
    if hash_version != HASH_VERSION:
        return []
    found = codes.known_by_hash(world.store, workspace.id, hash)
    world.content.missing([Digest(row.tree) for row in found])  # who asks is about to name it
    return found


def content_hash(world: World, tree: Tree) -> str:
    """As clients make it (hash version 202208): the number of files, name and size of each in the order of their names
    in lower case, and then their bytes. Made here of what has come, so that a client's mistake misleads nobody else."""
    entries = sorted(tree.entries, key=lambda entry: entry.path.lower())
    found = hashlib.sha256(str(len(entries)).encode())
    for entry in entries:
        found.update(f"#{entry.path}#{entry.size}".encode())
    for entry in entries:
        for chunk in world.content.open(Digest(entry.digest)):
            found.update(chunk)
    return found.hexdigest()


def _sent(world: World, workspace: WorkspaceId, address: str) -> tuple[DatastoreReference, str]:
    found = datastores.addressed(world, workspace, address)
    if found is None:
        raise Invalid(
            "CodeUriInvalid",
            f"'{address[:200]}' is no place in a datastore of this workspace.",
            pointer="/properties/codeUri",
            remedy="Send the code to where startPendingUpload says, and give that address.",
        )
    return found[0], found[1]


def _check(name: str, version: str) -> None:
    if not _NAME.match(name):
        raise Invalid("AssetNameInvalid", f"{name[:60]!r} cannot be the name of code.", pointer="/name")
    if not _VERSION.match(version):
        raise Invalid("AssetVersionInvalid", f"{version[:60]!r} cannot be a version.", pointer="/version")
