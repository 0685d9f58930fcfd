"""Mounts that must not outlive what they were made for. Standard library only: a watchdog uses it too."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

_DETACH = 2


def mounts_below(folder: Path) -> list[Path]:
    """The places below `folder` (itself included) where something is mounted, innermost first."""
    start = os.path.realpath(folder)
    try:
        told = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return []
    found = []
    for line in told.splitlines():
        place = line.split(b" ")[4]
        for code in (b" ", b"\t", b"\n", b"\\"):
            place = place.replace(b"\\%03o" % code[0], code)
        text = os.fsdecode(place)
        if text == start or text.startswith(start.rstrip("/") + "/"):
            found.append(Path(text))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def unmount_below(folder: Path) -> None:
    """Detach every mount below `folder`, those whose server is dead included. What still uses one keeps it until it
    ends; the place is free at once. Repeatable; what cannot be detached stays."""
    for place in mounts_below(folder):
        _unmount(place)


def _unmount(place: Path) -> None:
    if os.geteuid() == 0:
        ctypes.CDLL(None).umount2(os.fsencode(place), _DETACH)
        return
    tool = shutil.which("fusermount3") or shutil.which("fusermount")
    if tool:
        subprocess.run([tool, "-u", "-q", "-z", str(place)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
