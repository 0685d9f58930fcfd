"""Content in a local folder: `<folder>/ab/cd…`, written beside and renamed, fsynced before `put` returns."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid, NotFound
from mayfly.kit.ids import Digest

_CHUNK = 1 << 20
_HEX = frozenset("0123456789abcdef")
_FRESH_S = 3600
"""Far below the grace of garbage collection (services.garbage)."""


class ContentFolder:
    """Implements `ports.content.ContentStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._removing = threading.Lock()

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        return [digest for digest in digests if not self._touched(self._path(digest))]

    def has(self, digest: Digest) -> bool:
        return self._path(digest).exists()

    def put(self, digest: Digest, chunks: Iterable[bytes]) -> int:
        path = self._path(digest)
        found = hashlib.sha256()
        size = 0
        handle, name = tempfile.mkstemp(dir=self._incoming)
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    found.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                if found.hexdigest() != digest:
                    raise Invalid(
                        "ContentMismatch",
                        f"The bytes sent as {digest[:12]}… have another hash ({found.hexdigest()[:12]}…).",
                        remedy="The file changed while it was sent, or the transfer was damaged: send it again.",
                    )
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(exist_ok=True)
            Path(name).rename(path)
            _sync_folder(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return size

    def open(self, digest: Digest) -> Iterator[bytes]:
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError as error:
            raise NotFound("ContentNotFound", f"There is no content {digest}.") from error
        return self._chunks(file)

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
        with self._removing:
            try:
                if path.stat().st_mtime_ns // 1_000_000 >= unless_since:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def _touched(self, path: Path) -> bool:
        """Whether it is here. Its time is set anew only when that is old, so that asking for thousands stays quick."""
        try:
            if path.stat().st_mtime > time.time() - _FRESH_S:
                return True
            with self._removing:
                os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not _HEX.issuperset(digest):
            raise Invalid("DigestInvalid", "A digest is 64 lower-case hexadecimal characters.")
        return self._folder / digest[:2] / digest[2:]

    @staticmethod
    def _chunks(file) -> Iterator[bytes]:
        with file:
            while chunk := file.read(_CHUNK):
                yield chunk


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
