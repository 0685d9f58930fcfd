"""Small files that a later report depends on: whole or not there, whatever process dies.

They need not survive a power cut: that ends every process of the node too, and what the server must know then stands in
the two files that a supervisor makes durable itself: that it began (so that nothing starts twice), and how it ended.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mayfly.transfer.killpoints import lasting


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path`, mode 0600; once this returns, the bytes survive the death of any process."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    handle, left = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), memoryview(data)
    try:
        while left:
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)
    with lasting(f"node:{_plain(path)} written"):
        part.replace(path)


def _plain(path: Path) -> str:
    """What kind of record it is: without its number, or one word for all that are named by a hash."""
    name = path.stem.rstrip("-0123456789")
    return name if name.isalpha() and len(name) < 16 else "record"


def write_json(path: Path, value: object) -> None:
    """`write_whole` of JSON."""
    write_whole(path, json.dumps(value, separators=(",", ":")).encode())


def read_json(path: Path) -> Any | None:
    """The value, or None when the file is not there or not whole."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def folder_bytes(folder: Path) -> int:
    """Bytes allocated below `folder`, links not followed; what vanishes meanwhile counts as nothing."""
    total, stack = 0, [str(folder)]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_blocks * 512
                    except OSError:
                        continue
        except OSError:
            continue
    return total
