"""The node's smallest part: keeps the agent alive, and ends the node when the server has been gone for too long.

It imports nothing of Mayfly but how mounts end. `watchdog.lock` is its own: one watchdog a node. A shared lock on `node.lock` is held by
it, the agent and every supervisor: while it cannot be taken alone, something of the node runs; once it can, nothing
does.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

from mayfly.transfer.unmounting import unmount_below

LOCK_VARIABLE = "MAYFLY_NODE_LOCK"
IDLE_S = 900.0
"""A node without a live process ends itself after this long without contact."""
_TICK_S = 1.0
_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_STEADY_S = 30.0
"""An agent that lived this long has earned a quick restart again."""


def watch(folder: Path, idle_s: float = IDLE_S) -> int:
    """Until the agent is done or the node must end. Exit status 0: ended as it should; 3: another one is watching."""
    mine = os.open(folder / "watchdog.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _take(mine):
        return 3
    lock = os.open(folder / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    try:
        return _keep(folder, lock, idle_s)
    finally:
        if not _live_supervisors(folder):
            unmount_below(folder / "mounts")


def _keep(folder: Path, lock: int, idle_s: float) -> int:
    """Keep an agent alive until the node ends."""
    born = time.monotonic()
    deaths = 0
    while True:
        began = time.monotonic()
        agent = _start_agent(folder, lock)
        status, evicted = _attend(folder, agent, born, idle_s)
        if evicted or status is None or (os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0) or _unwanted(folder):
            return 0
        deaths = 0 if time.monotonic() - began > _STEADY_S else deaths + 1
        pause = time.monotonic() + _BACKOFF_S[min(deaths, len(_BACKOFF_S)) - 1] if deaths else 0.0
        while time.monotonic() < pause:
            if signal.sigtimedwait({signal.SIGTERM}, 0) is not None:
                return 0
            if _must_end(folder, born, idle_s):
                _kill_all(folder)
                return 0
            time.sleep(0.05)


def _take(lock: int, patience_s: float = 0.5) -> bool:
    """Whether the lock is ours now. Who only looks whether it is held holds it for a moment, so one try is not enough."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _start_agent(folder: Path, lock: int) -> int:
    argv = [sys.executable, "-m", "mayfly.main.node", "--agent", str(folder)]
    agent = os.fork()
    if agent == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
            os.set_inheritable(lock, True)
            os.execve(argv[0], argv, {**os.environ, LOCK_VARIABLE: str(lock)})
        finally:
            os._exit(126)
    return agent


def _attend(folder: Path, agent: int, born: float, idle_s: float) -> tuple[int | None, bool]:
    """Wait for the agent's end: its status, None when the node had to be ended; and whether we were told to go, which is
    passed on to the agent, so that it may save what it can."""
    evicted = False
    while True:
        pid, status = os.waitpid(agent, os.WNOHANG)
        if pid:
            return status, evicted
        if _must_end(folder, born, idle_s):
            os.kill(agent, signal.SIGKILL)  # works on a stopped one too
            os.waitpid(agent, 0)
            _kill_all(folder)
            return None, evicted
        came = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM}, _TICK_S)
        if came is not None and came.si_signo == signal.SIGTERM:
            evicted = True
            os.kill(agent, signal.SIGTERM)


def _must_end(folder: Path, born: float, idle_s: float) -> bool:
    """Whether the time without contact is over. time.monotonic stops while the machine sleeps, as it should here."""
    contact = _read(folder / "contact.json")
    told = _read(folder / "node.json")
    orphan_s = contact.get("orphan_s", told.get("orphan_s"))
    silent_s = time.monotonic() - max(born, contact.get("monotonic_ns", 0) / 1e9)
    if orphan_s is not None and silent_s > orphan_s:
        return True
    return silent_s > idle_s and not _live_supervisors(folder)


def _unwanted(folder: Path) -> bool:
    """Whether the provider wants the node gone and no job needs it: an agent that dies then need not come back."""
    return (folder / "delete").exists() and not _live_supervisors(folder)


def _live_supervisors(folder: Path) -> list[Path]:
    """The attempts with a supervisor that holds its lock."""
    found = []
    for path in sorted((folder / "attempts").glob("*/supervisor-*.lock")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            found.append(path)
        finally:
            os.close(descriptor)
    return found


def _kill_all(folder: Path) -> None:
    """End every supervisor: SIGTERM lets it take its whole tree with it, SIGKILL follows after its grace. Each attempt keeps
    whose decision that was."""
    for path in _live_supervisors(folder):
        path.with_name("orphaned.json").touch()
    for number, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience_s
        for path in _live_supervisors(folder):
            pids = _read(path.with_name(path.name.replace("supervisor-", "pids-").replace(".lock", ".json")))
            for name in ("supervisor",) if number == signal.SIGTERM else ("supervisor", "child"):
                if pids.get(name):
                    try:
                        os.kill(pids[name], number)
                    except ProcessLookupError:
                        pass
        while _live_supervisors(folder) and time.monotonic() < deadline:
            time.sleep(0.05)


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
