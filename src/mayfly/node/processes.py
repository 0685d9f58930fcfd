"""Who a process is: its identity across restarts of the agent, and how everything of a job is found and killed."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from functools import cache
from pathlib import Path

from mayfly.node.supervisor import MARKER


@cache
def boot_id() -> str:
    """Different after each boot of the machine; '' where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def boottime_ns() -> int:
    """The clock that supervisors stamp their records with."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def start_time(pid: int) -> int:
    """When it began, in clock ticks since boot; 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def exists(pid: int) -> bool:
    """Whether there is a process of that number, whosever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_running(pid: int, started: int) -> bool:
    """Whether `pid` is still the process that began at `started`, and no zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19]) == started and fields[0] not in (b"Z", b"X")
    except (OSError, ValueError, IndexError):
        return False


def wait_ended(pid: int, started: int, patience_s: float) -> None:
    """Sleep until that process has ended, or patience does."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if is_running(pid, started):
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll(patience_s * 1000)
    finally:
        os.close(descriptor)


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def descendants(root: int) -> list[int]:
    """All processes below `root`, nearest first."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def marked(marker: str) -> list[int]:
    """Running processes whose environment began with this marker."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for pid in _pids():
        try:
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and is_running(pid, start_time(pid)):
                found.append(pid)
        except OSError:
            continue
    return found


def kill_marked(marker: str, patience_s: float = 10.0) -> None:
    """SIGKILL everything that carries the marker until nothing is left, or patience ends."""
    deadline = time.monotonic() + patience_s
    while (alive := marked(marker)) and time.monotonic() < deadline:
        for pid in alive:
            send(pid, signal.SIGKILL)
        time.sleep(0.002)


def wait_unlocked(path: Path) -> None:
    """Sleep until nobody holds the lock on this file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _pids() -> list[int]:
    try:
        return [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]
    except OSError:
        return []
