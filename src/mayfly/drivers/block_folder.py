"""Blocks in a local folder: `<folder>/<hash of the owner>/<name in hexadecimal>`, written beside and renamed, fsynced."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mayfly.drivers.files import chunks, sync, writes
from mayfly.kit.clock import Millis
from mayfly.kit.errors import NotFound
from mayfly.transfer.killpoints import lasting

_PART = ".part"


class BlockFolder:
    """Implements `ports.blocks.BlockStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @writes
    def begin(self, owner: str, name: bytes) -> _Incoming:
        folder = self._of(owner)
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            sync(self._folder)
        return _Incoming(folder / name.hex())

    def sizes(self, owner: str) -> dict[bytes, int]:
        found = {}
        with suppress(FileNotFoundError), os.scandir(self._of(owner)) as entries:
            for entry in entries:
                if not entry.name.endswith(_PART):
                    found[bytes.fromhex(entry.name)] = entry.stat().st_size
        return found

    def open(self, owner: str, name: bytes) -> Iterator[bytes]:
        try:
            file = (self._of(owner) / name.hex()).open("rb")
        except FileNotFoundError as error:
            raise NotFound("BlockNotFound", "There is no such block.") from error
        return chunks(file)

    def clear(self, owner: str) -> None:
        away = self._folder / f"{secrets.token_hex(8)}{_PART}"
        with suppress(FileNotFoundError):
            self._of(owner).rename(away)  # so that a block that comes now begins anew
            shutil.rmtree(away, ignore_errors=True)

    def prune(self, before: Millis, *, dry_run: bool) -> int:
        freed = 0
        for folder in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime_ns // 1_000_000 < before:
                    freed += sum(one.stat().st_size for one in folder.iterdir())
                    if not dry_run:
                        shutil.rmtree(folder, ignore_errors=True)
        return freed

    def _of(self, owner: str) -> Path:
        return self._folder / hashlib.sha256(owner.encode()).hexdigest()


class _Incoming:
    """Implements `ports.blocks.IncomingBlock`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name[:64]}-{secrets.token_hex(8)}{_PART}")
        self._file = self._part.open("xb")

    @writes
    def write(self, data: bytes) -> None:
        self._file.write(data)

    @writes
    def keep(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        with lasting("server:block"):
            self._part.rename(self._path)
            sync(self._path.parent)
        return size

    def drop(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)
