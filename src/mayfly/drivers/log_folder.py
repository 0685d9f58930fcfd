"""Logs in a local folder: `<folder>/<job>/<attempt>/<rank>/<file>`."""

from __future__ import annotations

import os
import threading
from pathlib import Path, PurePosixPath

from mayfly.drivers.files import writes
from mayfly.kit.errors import Invalid
from mayfly.transfer.killpoints import lasting
from mayfly.transfer.removal import remove_tree


class LogFolder:
    """Implements `ports.logs.LogStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = [threading.Lock() for _ in range(64)]

    @writes
    def append(self, job: str, attempt: int, rank: int, file: str, offset: int, data: bytes) -> int:
        path = self._path(job, attempt, rank, file)
        with self._locks[hash(path) % len(self._locks)]:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                size = os.fstat(handle).st_size
                if offset > size:
                    return size
                fresh = memoryview(data)[size - offset :]
                with lasting("server:log"):
                    while fresh:
                        written = os.pwrite(handle, fresh, size)
                        fresh, size = fresh[written:], size + written
                return size
            finally:
                os.close(handle)

    def size(self, job: str, attempt: int, rank: int, file: str) -> int:
        try:
            return self._path(job, attempt, rank, file).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, job: str, attempt: int, rank: int, file: str, offset: int, most: int) -> bytes:
        try:
            with self._path(job, attempt, rank, file).open("rb") as stream:
                stream.seek(offset)
                return stream.read(most)
        except FileNotFoundError:
            return b""

    def files(self, job: str, attempt: int) -> list[tuple[int, str]]:
        root = self._folder / job / str(attempt)
        found = []
        for rank in root.iterdir() if root.is_dir() else ():
            found += [(int(rank.name), path.relative_to(rank).as_posix()) for path in rank.rglob("*") if path.is_file()]
        return sorted(found)

    def seal(self, job: str, attempt: int, rank: int, file: str) -> None:
        path = self._path(job, attempt, rank, file)
        if path.exists():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def remove(self, job: str) -> int:
        root = self._path(job, 0, 0, "log").parents[2]
        if not root.is_dir():
            return 0
        freed = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        remove_tree(root)
        return freed

    def _path(self, job: str, attempt: int, rank: int, file: str) -> Path:
        parts = PurePosixPath(file).parts
        bad = not parts or file.startswith("/") or any(part in ("..", ".") or "\\" in part for part in parts)
        if bad or "\x00" in file or len(file) > 200 or "/" in job or ".." in job:
            raise Invalid("LogNameInvalid", "A log's name is a short relative path without '..'.")
        return self._folder.joinpath(job, str(attempt), str(rank), *parts)
