"""Blobs in Mayfly's own datastores: written whole, seen at once by jobs, and what jobs left is found among them.

A blob's bytes are content, named by their hash and durable before anything names them; its row is what makes it be there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import unquote

from mayfly.domain.blobs import Conditions, absent, check_name
from mayfly.domain.references import DatastoreReference
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Forbidden, NotFound
from mayfly.kit.ids import Digest
from mayfly.services import holdings
from mayfly.services.holdings import Blob, Page, Seen, Space
from mayfly.services.world import World
from mayfly.store import blobs, datastores
from mayfly.store.blobs import BlobRow
from mayfly.store.unit import Unit

_CONTAINERS = {
    "workspaceblobstore": "azureml-blobstore",
    "workspaceartifactstore": "azureml-artifacts",
    "workspacefilestore": "azureml-filestore",
    "workspaceworkingdirectory": "azureml-workingdirectory",
}
TREES = "azureml-trees"
"""A container of no workspace, where trees lie below their digests. Nothing is written there."""
_DATASTORES = {prefix: name for name, prefix in _CONTAINERS.items()}
MOST_IN_PAGE = 5000

_ADDRESS = re.compile(r"https?://[^/]+/(?:[^/]+\.blob\.[^/]+/)?(?P<container>[^/?#]+)/?(?P<path>.*)\Z", re.DOTALL)

Change = TypeVar("Change", Blob, None)


@dataclass(frozen=True, slots=True)
class NewBlob:
    digest: Digest
    size: int
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    blocks: Sequence[tuple[str, int]] = ()


# --- containers -------------------------------------------------------------------------------------------------------


def container_of(workspace: str, datastore: str) -> str:
    """How a datastore of Mayfly's own is called where names of containers are asked for. It names the workspace too, for
    some clients lose what stands before it in an address."""
    return f"{_CONTAINERS[datastore]}-{workspace.rpartition('_')[2]}"


def is_container(name: str) -> bool:
    return name == TREES or name.rpartition("-")[0] in _DATASTORES


def space_of(container: str) -> Space:
    """Whose container it is; a signature is made only for those that are there. Raises NotFound `ContainerNotFound`."""
    if container == TREES:
        return Space("", datastores.TREES)
    prefix, _, tail = container.rpartition("-")
    if prefix not in _DATASTORES:
        raise NotFound("ContainerNotFound", f"There is no container '{container}'.")
    return Space(f"ws_{tail}", _DATASTORES[prefix])


def referred(workspace: str, address: str) -> list[DatastoreReference]:
    """What the address of a blob, or of a folder of blobs, means in a workspace: the name as it stands there, and with
    its %-signs read, where that differs. Empty for what lies elsewhere, in another workspace too."""
    found = _ADDRESS.match(address)
    if found is None or not is_container(found["container"]):
        return []
    space = space_of(found["container"])
    names = dict.fromkeys((found["path"].strip("/"), unquote(found["path"]).strip("/")))
    return [DatastoreReference(space.datastore, name) for name in names] if space.workspace == workspace else []


# --- reading ----------------------------------------------------------------------------------------------------------


def find(world: World, space: Space, path: str, conditions: Conditions | None = None) -> Blob:
    """Raises NotFound `BlobNotFound`, Conflict `ConditionNotMet`, `NotModified`."""
    found = holdings.look(world, space, path).blob
    if found is None:
        raise absent(path)
    if conditions is not None:
        conditions.check(found.etag, found.modified_at, reading=True)
    return found


def read(world: World, blob: Blob, begin: int, end: int) -> Iterator[bytes]:
    return world.content.open(Digest(blob.digest), begin, end - begin)


def listing(world: World, space: Space, prefix: str, delimiter: str, begin: str, most: int) -> Page:
    return holdings.page(world, space, prefix, delimiter, begin, min(most, MOST_IN_PAGE))


# --- writing ----------------------------------------------------------------------------------------------------------


def put(
    world: World, space: Space, path: str, new: NewBlob, conditions: Conditions, *, may_replace: bool = True
) -> Blob:
    """Make it, or replace the one of its name; durable and there for everybody when it returns. Raises Invalid
    `InvalidUri`, Conflict as `Conditions.check`, Forbidden `AuthorizationPermissionMismatch` when it may not be
    replaced."""
    check_name(path)

    def made(seen: Seen) -> Blob:
        before = seen.blob
        conditions.check(before and before.etag, before.modified_at if before else Millis(0), reading=False)
        if before is not None and not may_replace:
            raise Forbidden(
                "AuthorizationPermissionMismatch", "The signature lets its holder make blobs (c), not replace them (w)."
            )
        now = world.clock.now()
        etag = world.ids.new("blob")
        return Blob(path, new.digest, new.size, etag, now, now, new.headers, new.metadata, new.blocks)

    return _change(world, space, path, made)


def describe(
    world: World,
    space: Space,
    path: str,
    conditions: Conditions,
    *,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Blob:
    """Give a blob other metadata or headers, whole. Raises NotFound `BlobNotFound`, and as `put`."""

    def made(seen: Seen) -> Blob:
        if seen.blob is None:
            raise absent(path)
        conditions.check(seen.blob.etag, seen.blob.modified_at, reading=False)
        now = world.clock.now()
        return replace(
            seen.blob,
            etag=world.ids.new("blob"),
            modified_at=now,
            metadata=seen.blob.metadata if metadata is None else metadata,
            headers=seen.blob.headers if headers is None else headers,
        )

    return _change(world, space, path, made)


def remove(world: World, space: Space, path: str, conditions: Conditions) -> None:
    """Raises NotFound `BlobNotFound`, and as `put`. Its content stays where anything else has it."""

    def gone(seen: Seen) -> None:
        if seen.blob is None:
            raise absent(path)
        conditions.check(seen.blob.etag, seen.blob.modified_at, reading=False)

    _change(world, space, path, gone)


def _change(world: World, space: Space, path: str, made: Callable[[Seen], Change]) -> Change:
    """Write what `made` makes of a path as it is (None: nothing is there any more). Where trees have a say they are looked
    at outside of the unit, and anew when something has changed meanwhile."""
    seen: Seen | None = None
    while True:
        before = seen

        def write(unit: Unit, before: Seen | None = before) -> tuple[Change] | None:
            found = before or holdings.known(unit.connection, space, path)
            if found is None or (before and not holdings.unchanged(unit.connection, space, path, before)):
                return None
            blob = made(found)
            if blob is not None or found.in_tree or found.row is None:
                swapped = blobs.swap(unit, found.row, _row(world, space, path, found, blob))
            else:
                swapped = blobs.remove(unit, found.row)
            return (blob,) if swapped else None

        done = world.store.write(write)
        if done is not None:
            return done[0]
        seen = holdings.look(world, space, path)


def _row(world: World, space: Space, path: str, seen: Seen, blob: Blob | None) -> BlobRow:
    now = world.clock.now()
    if blob is None:
        etag = world.ids.new("blob")
        return BlobRow(space.workspace, space.datastore, path, None, 0, seen.newest_tree, etag, now, now)
    return BlobRow(
        space.workspace,
        space.datastore,
        path,
        blob.digest,
        blob.size,
        seen.newest_tree,
        blob.etag,
        blob.created_at,
        blob.modified_at,
        blob.headers,
        blob.metadata,
        blob.blocks,
    )
