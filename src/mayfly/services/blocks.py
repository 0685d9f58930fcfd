"""Blobs in blocks: each sent by itself, in any order, and then put together by a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mayfly.domain.blobs import Conditions
from mayfly.kit.errors import Invalid, NotFound
from mayfly.kit.ids import Digest
from mayfly.ports.blocks import IncomingBlock
from mayfly.services import blobs, holdings
from mayfly.services.blobs import NewBlob
from mayfly.services.holdings import Blob, Space
from mayfly.services.world import World

WEEK_MS = 7 * 24 * 3600 * 1000
"""How long blocks wait that nobody puts together."""

Sizes = Sequence[tuple[bytes, int]]


def begin(world: World, space: Space, path: str, name: bytes) -> IncomingBlock:
    return world.blocks.begin(_owner(space, path), name)


def commit(
    world: World,
    space: Space,
    path: str,
    listed: Sequence[tuple[str, bytes]],
    headers: Mapping[str, str],
    metadata: Mapping[str, str],
    conditions: Conditions,
    *,
    may_replace: bool,
) -> Blob:
    """The blob becomes the blocks of the list, in its order; those that are not in it are forgotten. Each is looked for
    where the list says: Committed (in the blob as it is), Uncommitted, or Latest (there, else in the blob).

    Raises Invalid `InvalidBlockList`, and as `blobs.put`."""
    owner = _owner(space, path)
    waiting = world.blocks.sizes(owner)
    before = holdings.look(world, space, path).blob
    committed = _places(before)
    incoming = world.content.begin()
    try:
        for where, name in listed:
            if where != "Committed" and name in waiting:
                pieces = _waiting(world, owner, name)
            elif where != "Uncommitted" and before is not None and name in committed:
                offset, length = committed[name]
                pieces = world.content.open(Digest(before.digest), offset, length)
            else:
                raise _unknown(name)
            for piece in pieces:
                incoming.write(piece)
        digest, size = incoming.keep()
    finally:
        incoming.drop()
    sizes = {**{name: length for name, (_, length) in committed.items()}, **waiting}
    kept = [(name.hex(), sizes[name]) for _, name in listed]
    new = NewBlob(digest, size, headers, metadata, kept)
    made = blobs.put(world, space, path, new, conditions, may_replace=may_replace)
    world.blocks.clear(owner)
    return made


def listing(world: World, space: Space, path: str) -> tuple[Blob | None, Sizes, Sizes]:
    """The blob, its blocks, and those that wait. Raises NotFound `BlobNotFound` when there is none of these."""
    blob = holdings.look(world, space, path).blob
    waiting = sorted(world.blocks.sizes(_owner(space, path)).items())
    if blob is None and not waiting:
        raise blobs.absent(path)
    return blob, [(bytes.fromhex(name), size) for name, size in (blob.blocks if blob else ())], waiting


def _owner(space: Space, path: str) -> str:
    return "\n".join((space.workspace, space.datastore, path))


def _places(blob: Blob | None) -> dict[bytes, tuple[int, int]]:
    """Where in a blob each of its blocks lies."""
    found, offset = {}, 0
    for name, size in blob.blocks if blob else ():
        found[bytes.fromhex(name)] = (offset, size)
        offset += size
    return found


def _waiting(world: World, owner: str, name: bytes) -> Iterator[bytes]:
    try:
        return world.blocks.open(owner, name)
    except NotFound as error:  # somebody put the blob together meanwhile
        raise _unknown(name) from error


def _unknown(name: bytes) -> Invalid:
    return Invalid(
        "InvalidBlockList",
        f"There is no block {name!r} where the list looks for it.",
        remedy="Send it again; blocks wait for a week, until their blob is put together.",
    )
