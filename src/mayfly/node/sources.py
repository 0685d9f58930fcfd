"""Inputs that Mayfly does not hold itself: what lies behind them, listed once for an attempt, and its content, kept on
this machine by version."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from mayfly.kit.errors import Broken, Invalid, MayflyError, Unavailable
from mayfly.kit.units import format_bytes
from mayfly.node.cache import protect
from mayfly.node.disk import write_whole
from mayfly.node.processes import boot_id
from mayfly.node.server import Server
from mayfly.node.steps import passing
from mayfly.transfer import trees
from mayfly.transfer.removal import remove_tree
from mayfly.wire.agent import DataEntry, DataListing, Fence, Tree, TreeEntry

RESERVE = 150 << 20
"""Bytes of the disk that stay free, as Azure's DATASET_RESERVED_FREE_DISK_SPACE has it."""
TRIES = 12
"""How often a transfer that brings no new byte is tried again while the server itself is there."""
_LONGEST_NAME = 255
_STREAMS, _BATCH = 6, 1000


@dataclass(frozen=True, slots=True)
class Source:
    """What lies behind one input of one attempt. `key` names its content: another version has another."""

    fence: Fence
    name: str
    asked: str
    """An address that the input's MLTable names; '' for the input's own."""
    identity: str
    entries: tuple[DataEntry, ...]

    @property
    def key(self) -> str:
        return _hash(self._identity(), *(f"{one.path}\0{one.size}\0{one.version}" for one in self.entries))

    @property
    def bytes(self) -> int:
        return sum(one.size for one in self.entries)

    def entry_key(self, entry: DataEntry) -> str:
        return _hash(self._identity(), entry.path, str(entry.size), entry.version)

    def _identity(self) -> str:
        """What has no version is shared with nobody."""
        if self.identity and all(one.version for one in self.entries):
            return self.identity
        return f"{self.identity}\0{self.fence.job}/{self.fence.attempt}/{self.name}"


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def listed(
    server: Server,
    fence: Fence,
    name: str,
    identity: str,
    record: Path,
    asked: str = "",
    check: Callable[[], None] = lambda: None,
) -> Source:
    """Ask what lies there, once: `record` keeps the answer. Raises Invalid `FileNameInvalid` for names that cannot be
    carried; what the server says of a place that is not there or not readable, as it says it."""
    try:
        listing = msgspec.json.decode(record.read_bytes(), type=DataListing)
    except (OSError, msgspec.MsgspecError):
        listing = _asked(server, fence, name, asked, check)
        entries = tuple(sorted(listing.entries, key=lambda entry: entry.path))
        listing = DataListing(entries=entries)
        _check(name, entries)
        write_whole(record, msgspec.json.encode(listing))
        passing("listed")
    return Source(fence, name, asked, asked or identity, listing.entries)


def _asked(server: Server, fence: Fence, name: str, asked: str, check: Callable[[], None]) -> DataListing:
    """A storage that does not answer is asked again for a while."""
    delay = 0.2
    for left in reversed(range(TRIES)):
        check()
        try:
            return server.listing(fence, name, asked)
        except Unavailable as error:
            if error.code == "ServerAway":
                raise
            if not left:
                raise Broken("DataUnreadable", f"Input '{name}': {error.message}", remedy=error.remedy) from error
            time.sleep(delay)
            delay = min(delay * 1.6, 5.0)
        except Broken as error:
            raise Broken(error.code, f"Input '{name}': {error.message}", remedy=error.remedy) from error
    raise AssertionError("the last try returns or raises")


def _check(name: str, entries: tuple[DataEntry, ...]) -> None:
    try:
        trees.check(Tree(entries=tuple(TreeEntry(path=e.path, digest="0" * 64, size=e.size) for e in entries)))
    except Invalid as error:
        raise Invalid(
            "FileNameInvalid",
            f"Input '{name}' cannot be brought to the node: {error.message}",
            remedy="Rename it where it lies, or give an input that leaves it out.",
        ) from error
    for entry in entries:
        if any(len(part.encode()) > _LONGEST_NAME for part in entry.path.split("/")):
            raise Invalid(
                "FileNameInvalid",
                f"Input '{name}': the name '{entry.path[-60:]}' is longer than the {_LONGEST_NAME} bytes of a file's.",
                remedy="Shorten it where it lies.",
            )


# --- the whole of it --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Progress:
    """Counts what has arrived; `told` hears a sentence now and then. Safe for many threads."""

    files: int
    bytes: int
    told: Callable[[str], None]
    every_s: float = 1.0
    _files: int = 0
    _bytes: int = 0
    _last: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, files: int = 0, size: int = 0) -> None:
        with self._lock:
            self._files += files
            self._bytes += size
            now = time.monotonic()
            if now - self._last < self.every_s:
                return
            self._last = now
            text = f"{self._files} of {self.files} files, {format_bytes(self._bytes)} of {format_bytes(self.bytes)}"
        self.told(text)


class DataCache:
    """Whole inputs by version below `<cache>/data`, read-only, shared by all jobs of the machine. An attempt pins what it
    uses; what nobody pins makes room when the disk is short."""

    def __init__(self, cache: Path, nodes: Path, server: Server, check: Callable[[], None], tries: int = TRIES) -> None:
        """`nodes`: the folder of all nodes' folders, where pins are looked for. `check` is called often and may raise."""
        self._folder, self._nodes, self._server, self._check = cache / "data", nodes, server, check
        self._tries = tries

    def has(self, source: Source) -> bool:
        return (self._folder / source.key).exists()

    def whole(self, source: Source, pins: Path, told: Callable[[str], None], copies: int = 0) -> Path:
        """The folder with all its files. `copies`: how many more times it must fit the disk. A transfer that broke goes
        on where it broke, after the death of an agent too. Raises Broken `DataChanged`, `NodeDiskFull`,
        `DataUnreadable`, and what `check` raises."""
        pins.mkdir(parents=True, exist_ok=True)
        (pins / source.key).touch()
        place = self._folder / source.key
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._turn(place.with_name(source.key + ".lock")):
            if place.exists():
                os.utime(place)
                self._make_room(source, copies * source.bytes)
                return place
            part = place.with_name(f"{source.key}.{boot_id()[:8]}.part")
            for stale in self._folder.glob(f"{source.key}.*.part"):
                if stale != part:
                    remove_tree(stale)
            part.mkdir(exist_ok=True)
            try:
                self._make_room(source, (1 + copies) * source.bytes - _size(part))
                self._fetch(source, part, Progress(len(source.entries), source.bytes, told))
            except OSError as error:
                remove_tree(part)
                raise Broken("NodeDiskFull", f"Input '{source.name}' could not be written: {error}.") from error
            except BaseException:
                remove_tree(part)
                raise
            protect(part)
            part.rename(place)
            passing("input-cached")
        return place

    def _fetch(self, source: Source, part: Path, progress: Progress) -> None:
        stop = threading.Event()

        def one(entry: DataEntry) -> None:
            if not stop.is_set():
                self._file(source, entry, part.joinpath(*entry.path.split("/")), progress, stop)

        for folder in sorted({entry.path.rpartition("/")[0] for entry in source.entries}):
            part.joinpath(*folder.split("/")).mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_STREAMS, thread_name_prefix="input") as pool:
            try:
                entries = iter(source.entries)
                while batch := list(islice(entries, _BATCH)):
                    for _ in pool.map(one, batch):
                        self._check()
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _file(self, source: Source, entry: DataEntry, path: Path, progress: Progress, stop: threading.Event) -> None:
        have = path.stat().st_size if path.exists() else 0
        if have > entry.size:
            path.unlink()
            have = 0
        progress.add(size=have)
        failed, delay = 0, 0.1
        with path.open("ab") as file:
            while have < entry.size:
                before = have
                try:
                    for chunk in self._server.read(
                        source.fence, source.name, entry, have, entry.size - have, source.asked
                    ):
                        self._check()
                        if stop.is_set():
                            return
                        file.write(chunk)
                        file.flush()
                        have += len(chunk)
                        progress.add(size=len(chunk))
                        passing("input-chunk")
                except Unavailable as error:
                    failed = 0 if have > before else failed + (error.code != "ServerAway")
                    delay = 0.1 if have > before else min(delay * 1.6, 5.0)
                    if failed >= self._tries:
                        raise _unreadable(source, entry, have, error) from error
                    self._check()
                    stop.wait(delay)
                except Broken as error:
                    raise _named(source, error) from error
        progress.add(files=1)

    # --- room ---------------------------------------------------------------------------------------------------------

    def _make_room(self, source: Source, needed: int) -> None:
        """Remove what nobody uses, the longest unused first, until `needed` fits. Raises Broken `NodeDiskFull`."""
        if self._free() >= needed:
            return
        for place in sorted(self._folder.iterdir(), key=_when):
            if place.is_dir() and "." not in place.name:
                self._forget(place)
                if self._free() >= needed:
                    return
        raise Broken(
            "NodeDiskFull",
            f"Input '{source.name}' needs {format_bytes(needed)} on the node's disk, which has {format_bytes(max(0, self._free()))} "
            "left.",
            remedy="Choose a size with a larger disk, or mode ro_mount, which keeps no whole copy.",
        )

    def _forget(self, place: Path) -> None:
        with suppress(OSError), open(place.with_name(place.name + ".lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not any(self._nodes.glob(f"*/attempts/*/pins/{place.name}")):
                away = place.with_name(f"{place.name}.{os.getpid()}.gone")
                place.rename(away)
                remove_tree(away)

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free - RESERVE

    @contextmanager
    def _turn(self, lock: Path) -> Iterator[None]:
        """One at a time among all processes; who waits may still be called off."""
        with open(lock, "ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._check()
                    time.sleep(0.05)
            yield


def _when(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _unreadable(source: Source, entry: DataEntry, have: int, error: MayflyError) -> Broken:
    return Broken(
        "DataUnreadable",
        f"Input '{source.name}': reading '{entry.path}' broke off after {have} of {entry.size} bytes, again and again: "
        f"{error.message}",
        remedy="Submit the job again when the storage answers.",
    )


def _named(source: Source, error: MayflyError) -> Broken:
    return Broken(error.code, f"Input '{source.name}': {error.message}", remedy=error.remedy)
