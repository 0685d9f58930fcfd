"""Content for clients and nodes: what is missing, packs in and out, trees."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mayfly.kit.errors import Invalid, NotFound
from mayfly.kit.ids import Digest
from mayfly.services.world import World
from mayfly.transfer import packs, trees

_MOST = 20_000
_SMALL = 256 << 10
_TOGETHER, _HELD = 1_000, 8 << 20
"""So many small blobs, or bytes of them, are made durable together."""
_LARGEST_TREE = 32 << 20
"""Bytes: what the doors take as one."""


def missing_answer(world: World, body: bytes) -> dict[str, Any]:
    return {"missing": world.content.missing(_digests(body))}


def store_pack(world: World, chunks: Iterable[bytes]) -> dict[str, Any]:
    """Store each blob under its name; durable when it returns. Raises Invalid `PackInvalid`, `ContentMismatch`: the
    blobs before the bad one are kept, except that those not yet written when a pack turns out to be cut off are not."""
    stored, held = 0, 0
    small: list[tuple[Digest, bytes]] = []
    for digest, size, blob in packs.read(chunks):
        if size > _SMALL:
            world.content.put(digest, blob)
        else:
            small.append((digest, b"".join(blob)))
            held += size
        if held >= _HELD or len(small) >= _TOGETHER:
            world.content.put_small(small)
            small, held = [], 0
        stored += 1
    if small:
        world.content.put_small(small)
    return {"stored": stored}


def pack(world: World, body: bytes) -> Iterator[bytes]:
    """The asked blobs, in order. Raises NotFound `ContentNotFound` before anything is sent."""
    digests = _digests(body)
    absent = world.content.missing(digests)
    if absent:
        raise NotFound("ContentNotFound", f"There is no content {absent[0]}.")
    return packs.write((digest, world.content.size(digest), world.content.open(digest)) for digest in digests)


def put_tree(world: World, digest: str, body: bytes) -> dict[str, Any]:
    """Keep a tree whose blobs are all here. Raises Invalid `TreeInvalid`, `ContentMismatch`, `BlobsMissing`."""
    tree = trees.decode(body)
    if trees.digest_of(tree) != digest:
        raise Invalid("ContentMismatch", "The tree has another digest than its address.")
    absent = world.content.missing({Digest(entry.digest) for entry in tree.entries})
    if absent:
        raise Invalid("BlobsMissing", f"{len(absent)} files of the tree are not here.", remedy="Send them first.")
    world.content.put(Digest(digest), [trees.canonical(tree)])
    return {"stored": 1}


def get_tree(world: World, digest: str) -> bytes:
    if world.content.size(Digest(digest)) > _LARGEST_TREE:
        raise Invalid("TreeInvalid", f"{digest[:12]}… is too large to be a file list.")
    data = b"".join(world.content.open(Digest(digest)))
    trees.decode(data)
    return data


def _digests(body: bytes) -> list[Digest]:
    try:
        found = json.loads(body)["digests"]
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("RequestInvalid", 'The body is {"digests": [...]}.') from error
    if not isinstance(found, list) or len(found) > _MOST or not all(isinstance(one, str) for one in found):
        raise Invalid("RequestInvalid", f"'digests' is a list of at most {_MOST} digests.")
    return [Digest(one) for one in found]
