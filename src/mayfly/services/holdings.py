"""What lies in a datastore of Mayfly's own: blobs, written one by one, over trees, laid by jobs. The newest of a path is
what is there; a blob that was removed hides the trees that were laid before."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mayfly.kit.clock import Millis
from mayfly.services.world import World
from mayfly.store import blobs, datastores
from mayfly.store.blobs import BlobRow
from mayfly.store.datastores import Placement
from mayfly.wire.agent import TreeEntry

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Space:
    """A datastore of a workspace."""

    workspace: str
    datastore: str


@dataclass(frozen=True, slots=True)
class Blob:
    path: str
    digest: str
    size: int
    etag: str
    created_at: Millis
    modified_at: Millis
    headers: Mapping[str, str] = field(default_factory=dict)
    """Its content type and the like, by the names that HTTP has for them, in lower case."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    blocks: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A path as it was when somebody looked: what is there, and whether that has changed since can be asked."""

    blob: Blob | None
    row: BlobRow | None
    newest_tree: int
    in_tree: bool
    """Some tree has a file of that path, shown or hidden."""


def look(world: World, space: Space, path: str) -> Seen:
    def read(connection: Connection) -> tuple[BlobRow | None, list[Placement]]:
        parts = path.split("/")
        laid = datastores.placed_at(connection, space.workspace, space.datastore, parts)
        return blobs.find(connection, space.workspace, space.datastore, path), laid

    row, laid = world.store.read(read)
    newest = laid[0].sequence if laid else 0
    above = [one for one in laid if row is None or one.sequence > row.after]
    for placement in above:
        found = _entry(world, placement, path)
        if found is not None:
            return Seen(found, row, newest, True)
    below = any(_entry(world, placement, path) for placement in laid[len(above) :])
    return Seen(None if row is None or row.digest is None else _of_row(row), row, newest, below)


def known(connection: Connection, space: Space, path: str) -> Seen | None:
    """As `look`, where no tree can have a say: it is told by rows alone. None where one can."""
    row = blobs.find(connection, space.workspace, space.datastore, path)
    newest = blobs.newest_tree(connection, space.workspace, space.datastore, path)
    if newest > 0:
        return None
    return Seen(None if row is None or row.digest is None else _of_row(row), row, newest, False)


def unchanged(connection: Connection, space: Space, path: str, seen: Seen) -> bool:
    """Whether the trees over a path are still those that were seen."""
    return blobs.newest_tree(connection, space.workspace, space.datastore, path) == seen.newest_tree


@dataclass(frozen=True, slots=True)
class Page:
    blobs: list[Blob]
    prefixes: list[str]
    """Of what lies deeper than the delimiter, each once."""
    names: list[str]
    """Of both, in their order."""
    next: str | None
    """Where the next page begins."""


def page(world: World, space: Space, prefix: str, delimiter: str, begin: str, most: int) -> Page:
    """Up to `most` blobs and prefixes, by the order of their letters, from `begin` on."""
    laid = world.store.read(lambda c: datastores.placed_within(c, space.workspace, space.datastore, prefix))
    walk = _Walk([_Rows(world, space), *(_Files(world, one) for one in laid)])
    found = Page([], [], [], None)
    at, inclusive = max(prefix, begin), True
    while (blob := walk.next(at, inclusive)) is not None and blob.path.startswith(prefix):
        cut = blob.path.find(delimiter, len(prefix)) if delimiter else -1
        name = blob.path if cut < 0 else blob.path[: cut + len(delimiter)]
        if len(found.names) == most:
            return Page(found.blobs, found.prefixes, found.names, name)
        found.names.append(name)
        if cut < 0:
            found.blobs.append(blob)
            at, inclusive = blob.path, False
        else:
            found.prefixes.append(name)
            at, inclusive = _beyond(name), True
    return found


# --- one over the other -----------------------------------------------------------------------------------------------


class _Rows:
    """Blobs of one datastore, from a path on."""

    def __init__(self, world: World, space: Space) -> None:
        self._world, self._space = world, space
        self._read: list[BlobRow] = []
        self._index = 0
        self._ended = False

    def seek(self, at: str, inclusive: bool) -> str | None:
        while True:
            while self._index < len(self._read):
                path = self._read[self._index].path
                if path > at or (inclusive and path == at):
                    return path
                self._index += 1
            if self._ended:
                return None
            self._read_on(at, inclusive)

    def _read_on(self, at: str, inclusive: bool) -> None:
        workspace, datastore = self._space.workspace, self._space.datastore
        self._read = self._world.store.read(
            lambda c: blobs.onwards(c, workspace, datastore, at, _AT_ONCE, inclusive=inclusive)
        )
        self._index, self._ended = 0, len(self._read) < _AT_ONCE

    def bound(self, at: str, inclusive: bool) -> None:
        """As `_Files.bound`: it takes a look."""

    def current(self) -> tuple[tuple[int, int], Blob | None]:
        row = self._read[self._index]
        return (row.after, 1), None if row.digest is None else _of_row(row)


class _Files:
    """Files of one tree where it is laid."""

    def __init__(self, world: World, placement: Placement) -> None:
        self._world, self._placement = world, placement
        self._index = 0

    def bound(self, at: str, inclusive: bool) -> str | None:
        """A path that the next one does not come before, told without reading the tree; None where that takes reading."""
        first = self._placement.path if self._placement.is_file else self._base
        return first if first > at or (inclusive and first == at) else None

    def seek(self, at: str, inclusive: bool) -> str | None:
        placement, base = self._placement, self._base
        if at > base and not at.startswith(base):
            return None
        entries = self._world.trees.read(self._world.content, placement.tree).entries
        self._index = 0
        if _single(placement, entries):
            return placement.path if placement.path > at or (inclusive and placement.path == at) else None
        if at >= base:
            find = bisect_left if inclusive else bisect_right
            self._index = find(entries, at[len(base) :], key=lambda entry: entry.path)
        return base + entries[self._index].path if self._index < len(entries) else None

    @property
    def _base(self) -> str:
        return f"{self._placement.path}/" if self._placement.path else ""

    def current(self) -> tuple[tuple[int, int], Blob | None]:
        entries = self._world.trees.read(self._world.content, self._placement.tree).entries
        entry = entries[self._index]
        return (self._placement.sequence, 0), _of_entry(self._placement, entry, alone=_single(self._placement, entries))


class _Walk:
    """Through several sources at once. Each gives its next path at or after another, and the newest of a path wins.

    A source stands in the heap with its next path, or with a bound below it for as long as that is enough: of ten
    thousand jobs' trees a list reads those that it comes to."""

    def __init__(self, sources: Sequence[_Rows | _Files]) -> None:
        self._sources = sources
        self._heap: list[tuple[str, int, bool]] | None = None

    def next(self, at: str, inclusive: bool) -> Blob | None:
        if self._heap is None:
            self._heap = []
            for index in range(len(self._sources)):
                self._push(index, at, inclusive)
        while self._heap:
            path, index, sure = self._heap[0]
            if not sure or path < at or (path == at and not inclusive):
                heapq.heappop(self._heap)
                self._push(index, at, inclusive, looking=not sure)
                continue
            blob = self._newest(path)
            if blob is not None:
                return blob
        return None

    def _newest(self, path: str) -> Blob | None:
        assert self._heap is not None
        found: list[tuple[tuple[int, int], Blob | None]] = []
        while self._heap and self._heap[0][0] == path:
            _, index, sure = heapq.heappop(self._heap)
            if not sure:
                self._push(index, path, True, looking=True)
                continue
            found.append(self._sources[index].current())
            self._push(index, path, False)
        return max(found, key=lambda one: one[0])[1]

    def _push(self, index: int, at: str, inclusive: bool, *, looking: bool = False) -> None:
        assert self._heap is not None
        source = self._sources[index]
        bound = None if looking else source.bound(at, inclusive)
        path = bound if bound is not None else source.seek(at, inclusive)
        if path is not None:
            heapq.heappush(self._heap, (path, index, bound is None))


def _beyond(prefix: str) -> str:
    """The first text after all that begin with the prefix."""
    last = ord(prefix[-1]) + 1
    if 0xD800 <= last <= 0xDFFF:
        last = 0xE000
    return prefix[:-1] + chr(last) if last <= 0x10FFFF else _beyond(prefix[:-1])


def _entry(world: World, placement: Placement, path: str) -> Blob | None:
    entries = world.trees.read(world.content, placement.tree).entries
    if _single(placement, entries):
        return _of_entry(placement, entries[0], alone=True) if placement.path == path else None
    base = f"{placement.path}/" if placement.path else ""
    if not path.startswith(base):
        return None
    index = bisect_left(entries, path[len(base) :], key=lambda entry: entry.path)
    if index < len(entries) and base + entries[index].path == path:
        return _of_entry(placement, entries[index], alone=False)
    return None


def _single(placement: Placement, entries: Sequence[TreeEntry]) -> bool:
    """Whether the tree's one file lies at the place itself."""
    return placement.is_file and len(entries) == 1


def _of_entry(placement: Placement, entry: TreeEntry, *, alone: bool) -> Blob:
    path = placement.path
    if not alone:
        path = f"{path}/{entry.path}" if path else entry.path
    etag = f"tree_{placement.sequence}_{entry.digest[:16]}"
    return Blob(path, entry.digest, entry.size, etag, placement.created_at, placement.created_at)


def _of_row(row: BlobRow) -> Blob:
    assert row.digest is not None
    return Blob(
        row.path, row.digest, row.size, row.etag, row.created_at, row.modified_at, row.headers, row.metadata, row.blocks
    )
