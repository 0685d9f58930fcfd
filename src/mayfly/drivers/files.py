"""What the drivers that keep files in local folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

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
