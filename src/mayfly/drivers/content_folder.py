"""Content in a local folder: `<folder>/ab/cd…`, written beside and renamed, fsynced before `put` returns. Several servers may
have the folder."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mayfly.drivers.files import chunks, sync, writes
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid, NotFound
from mayfly.kit.ids import Digest
from mayfly.transfer.killpoints import lasting
from mayfly.transfer.removal import remove_tree

_HEX = frozenset("0123456789abcdef")
_LOST_S = 24 * 3600
_FRESH_S = 3600
"""Far below the grace of garbage collection (services.garbage)."""
_YOUNG_S = 10
"""How long a name may wait for the disk."""
Settle = Callable[[Path, Iterable[str | Path]], None]


class ContentFolder:
    """Implements `ports.content.ContentStore`."""

    def __init__(self, folder: Path, settle: Settle | None = None, *, shared: bool = False) -> None:
        """`settle`: what makes paths durable; `sync_all` unless told. `shared`: other servers have the folder too."""
        self._settle = settle or sync_all
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        _tidy(self._incoming)
        self._removing = _Alone(folder / "removing.lock")
        self._shared = shared
        self._settling = _Settling()

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        every = list(digests)
        found = [one for one in every if one in self._settling or not self._touched(self._place(one))]
        if self._shared:
            self._settle_young(set(every).difference(found))
        return found

    def has(self, digest: Digest) -> bool:
        return self._path(digest).exists()

    @writes
    def put(self, digest: Digest, chunks: Iterable[bytes]) -> int:
        self._path(digest)
        incoming = self.begin()
        try:
            for chunk in chunks:
                incoming.write(chunk)
            return incoming.keep(digest)[1]
        finally:
            incoming.drop()

    def put_small(self, items: Iterable[tuple[Digest, bytes]]) -> None:
        """One wait for the disk for all of them (`syncfs`), instead of two for each."""
        folder = Path(tempfile.mkdtemp(dir=self._incoming))
        kept: dict[str, Path] = {}
        try:
            refused = None
            for digest, data in items:
                path = self._path(digest)
                if (found := hashlib.sha256(data).hexdigest()) != digest:
                    refused = _mismatch(digest, found)
                    break
                part = f"{folder}/{digest}"
                with open(part, "wb", buffering=0) as file:
                    file.write(data)
                kept[part] = path
            self._settle(folder, kept)
            parents = {path.parent for path in kept.values()}
            for parent in parents:
                parent.mkdir(exist_ok=True)
            with self._settling.new(kept.values()), lasting("server:content"):
                with self._removing.now():
                    for part, path in kept.items():
                        os.replace(part, path)  # noqa: PTH105 (a Path for each would cost as much as the move)
                self._settle(folder, [*parents, self._folder])
            if refused is not None:
                raise refused
        finally:
            remove_tree(folder)

    @writes
    def begin(self) -> _Incoming:
        return _Incoming(self._incoming, self._path, self._removing, self._settling)

    def open(self, digest: Digest, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError as error:
            raise NotFound("ContentNotFound", f"There is no content {digest}.") from error
        file.seek(offset)
        return chunks(file, length)

    def size(self, digest: Digest) -> int:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError as error:
            raise NotFound("ContentNotFound", f"There is no content {digest}.") from error

    def list(self) -> Iterator[tuple[Digest, int, Millis]]:
        for folder in sorted(self._folder.iterdir()):
            if len(folder.name) != 2 or not _HEX.issuperset(folder.name):
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    found = entry.stat()
                    touched = Millis(found.st_mtime_ns // 1_000_000)
                    yield Digest(folder.name + entry.name), found.st_size, touched

    def remove(self, digest: Digest, unless_since: Millis) -> bool:
        path = self._path(digest)
        with self._removing.now():
            try:
                if path.stat().st_mtime_ns // 1_000_000 >= unless_since:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def _settle_young(self, digests: Iterable[str]) -> None:
        """What another server has just given its name might lose it again with the power."""
        since, young = time.time() - _YOUNG_S, set[Path]()
        for path in map(self._path, digests):
            with suppress(FileNotFoundError):
                if path.stat().st_ctime > since:
                    young.add(path.parent)
        if young:
            self._settle(self._folder, [*young, self._folder])

    def _touched(self, path: str) -> bool:
        """Whether it is here. Its time is set anew only when that is old, so that asking for thousands stays quick."""
        try:
            if os.stat(path).st_mtime > time.time() - _FRESH_S:  # noqa: PTH116 (a Path for each would take longer)
                return True
            with self._removing.now():
                os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _path(self, digest: str) -> Path:
        return Path(self._place(digest))

    def _place(self, digest: str) -> str:
        if len(digest) != 64 or not _HEX.issuperset(digest):
            raise Invalid("DigestInvalid", "A digest is 64 lower-case hexadecimal characters.")
        return f"{self._folder}/{digest[:2]}/{digest[2:]}"


class _Alone:
    """One at a time, over the threads of this process and over all that have the folder."""

    def __init__(self, file: Path) -> None:
        self._file, self._threads = file, threading.Lock()

    @contextmanager
    def now(self) -> Iterator[None]:
        with self._threads:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)


class _Settling:
    """Content that has its name already and might lose it again with the power: nobody is told yet that it is here."""

    def __init__(self) -> None:
        self._digests: set[str] = set()

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    @contextmanager
    def new(self, paths: Collection[Path]) -> Iterator[None]:
        """While they get their names, until these are durable. Whoever makes one durable has done it for all."""
        names = {path: path.parent.name + path.name for path in paths}
        self._digests.update(name for path, name in names.items() if not path.exists())
        try:
            yield
        finally:
            self._digests.difference_update(names.values())


class _Incoming:
    """Implements `ports.content.Incoming`."""

    def __init__(self, folder: Path, place: Callable[[str], Path], removing: _Alone, settling: _Settling) -> None:
        handle, name = tempfile.mkstemp(dir=folder)
        self._file = os.fdopen(handle, "wb")
        self._part: Path | None = Path(name)
        self._place = place
        self._removing, self._settling = removing, settling
        self._found = hashlib.sha256()
        self._size = 0

    @writes
    def write(self, data: bytes) -> None:
        self._found.update(data)
        self._size += len(data)
        self._file.write(data)

    @writes
    def keep(self, promised: Digest | None = None) -> tuple[Digest, int]:
        """Raises Invalid `ContentMismatch` where they are not the promised ones."""
        digest = Digest(self._found.hexdigest())
        if promised is not None and promised != digest:
            raise _mismatch(promised, digest)
        assert self._part is not None, "it was kept or dropped"
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = self._place(digest)
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            sync(path.parent.parent)
        with self._settling.new([path]), lasting("server:content"):
            with self._removing.now():
                self._part.rename(path)
            self._part = None
            sync(path.parent)
        return digest, self._size

    def drop(self) -> None:
        if self._part is not None:
            with suppress(OSError):  # what could not be written before cannot be now
                self._file.close()
            self._part.unlink(missing_ok=True)
            self._part = None


def _tidy(folder: Path) -> None:
    """Forget what a server left that died while bytes came in."""
    for part in folder.iterdir():
        with suppress(FileNotFoundError):
            if part.stat().st_mtime < time.time() - _LOST_S:
                remove_tree(part) if part.is_dir() else part.unlink()


def _mismatch(promised: str, found: str) -> Invalid:
    return Invalid(
        "ContentMismatch",
        f"The bytes sent as {promised[:12]}… have another hash ({found[:12]}…).",
        remedy="The file changed while it was sent, or the transfer was damaged: send it again.",
    )


_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
"""Linux only."""


def sync_all(folder: Path, paths: Iterable[str | Path]) -> None:
    """Return when these, which lie in the folder's file system, are durable."""
    if _syncfs is None:
        for path in paths:
            sync(path)
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)
