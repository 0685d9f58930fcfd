"""What the drivers that keep files in local folders share."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from mayfly.kit.errors import Unavailable
from mayfly.transfer.killpoints import lasting

Given = ParamSpec("Given")
Result = TypeVar("Result")

CHUNK = 1 << 20


def chunks(file: IO[bytes], left: int | None = None) -> Iterator[bytes]:
    """The rest of an open file, or as many bytes of it, and then it is closed."""
    with file:
        while left is None or left > 0:
            chunk = file.read(CHUNK if left is None else min(CHUNK, left))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            yield chunk


def writes(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """For what a driver writes: raises Unavailable `DiskFull`, `DiskReadOnly` where the disk cannot take it now."""

    @functools.wraps(method)
    def tried(*args: Given.args, **named: Given.kwargs) -> Result:
        try:
            return method(*args, **named)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(
                    "DiskFull",
                    "The disk of the server's state folder is full. Nothing of this was kept.",
                    remedy="Free space there; what was refused is sent again.",
                ) from error
            if error.errno == errno.EROFS:
                raise Unavailable(
                    "DiskReadOnly",
                    "The disk of the server's state folder cannot be written. Nothing of this was kept.",
                    remedy="Make it writable; what was refused is sent again.",
                ) from error
            raise

    return tried


def sync(place: str | Path) -> None:
    """Return when a file, or what a folder names, is durable."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes, what: str = "") -> None:
    """Replace `path`, mode 0600, whole or not at all; once this returns, a power cut does not take it. `what` it is where
    its name does not say so."""
    part = path.with_name(f"{path.name}.new")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with lasting(f"server:{what or path.stem} written"):
        part.rename(path)
        sync(path.parent)
