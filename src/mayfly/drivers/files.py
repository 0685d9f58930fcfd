"""What the drivers that keep files in local folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mayfly.transfer.killpoints import lasting

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


def sync(place: str | Path) -> None:
    """Return when a file, or what a folder names, is durable."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path`, mode 0600, whole or not at all; once this returns, a power cut does not take it."""
    part = path.with_name(f"{path.name}.new")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with lasting(f"server:{path.stem} written"):
        part.rename(path)
        sync(path.parent)
