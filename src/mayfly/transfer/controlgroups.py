"""Where the control groups of jobs are (`node/limits.py` makes them), for whoever clears up after a node that cannot."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

FAMILY = "mayfly"
"""The folder that holds ours, below each place."""
ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def places(root: Path = ROOT, own: Path = OWN) -> list[Path]:
    """Where our folder may be under version 2: below the root when we may, else below our own group when it was
    delegated to us."""
    found = [root]
    with suppress(OSError, IndexError):
        mine = own.read_text(encoding="ascii").split("::", 1)[1].strip().lstrip("/")
        found += [root / mine, (root / mine).parent]
    return list(dict.fromkeys(found))


def end_groups(prefix: str, root: Path = ROOT, own: Path = OWN, patience_s: float = 5.0) -> None:
    """Kill what still runs in the groups whose names begin so, and delete them. Repeatable."""
    version_2 = (root / "cgroup.controllers").exists()
    above = places(root, own) if version_2 else [one for one in root.glob("*") if one.is_dir()]
    groups = [group for place in above for group in (place / FAMILY).glob(f"{prefix}*")]
    deadline = time.monotonic() + patience_s
    while groups and time.monotonic() < deadline:
        for group in groups:
            with suppress(OSError):
                for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            with suppress(OSError):
                group.rmdir()
        groups = [group for group in groups if group.exists()]
        if groups:
            time.sleep(0.005)
