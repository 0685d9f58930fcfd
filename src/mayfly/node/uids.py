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


def take(folder: Path = FOLDER) -> tuple[int, int]:
    """A uid nobody else holds, and the descriptor that holds it: whoever inherits the descriptor holds it too, so the
    uid stays taken until the agent and every supervisor of the attempt have ended. Raises NoUserLeft."""
    for uid in range(FIRST, FIRST + COUNT):
        if (descriptor := take_again(uid, folder)) >= 0:
            return uid, descriptor
    raise NoUserLeft(f"All {COUNT} users for jobs are taken.")


def take_again(uid: int, folder: Path = FOLDER) -> int:
    """The descriptor that holds this one; -1 when it is held already, by an attempt's supervisors after their agent's
    restart."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor
