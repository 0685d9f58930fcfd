"""Users for jobs, when the agent is root: no two live attempts on the machine share one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FIRST, COUNT = 60600, 400
"""Between the ranges that Debian and systemd give to people and to services."""
FOLDER = Path("/run/mayfly/uids")


class NoUserLeft(Exception):
    """All of them are taken."""


def take(folder: Path = FOLDER, preferred: int = 0) -> tuple[int, int]:
    """A uid nobody else holds, and the descriptor that holds it: whoever inherits the descriptor holds it too, so the
    uid stays taken until the agent and every supervisor of the attempt have ended. Raises NoUserLeft."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    order = [preferred] if preferred else []
    for uid in [*order, *range(FIRST, FIRST + COUNT)]:
        descriptor = os.open(folder / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return uid, descriptor
    raise NoUserLeft(f"All {COUNT} users for jobs are taken.")
