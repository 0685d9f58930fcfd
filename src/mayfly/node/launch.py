"""From a granted start to supervised processes, and back to them after the agent's restart."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mayfly.node.disk import read_json
from mayfly.node.folders import AttemptFolder
from mayfly.node.nursery import Nursery
from mayfly.node.processes import boot_id, descendants, is_running, kill_marked, send, wait_unlocked

GRACE_S = 5.0
"""From SIGTERM to SIGKILL after a stop."""
_NEVER_RAN = "The sandbox could not be made, so the command never ran; the job's log says why."
_ORPHANED = "Its node had no contact to the server for as long as a node may go on without, and ended it."


@dataclass(frozen=True, slots=True)
class Ending:
    """How one process ended; `lost` says why nobody knows."""

    index: int
    code: int
    oom: bool = False
    timed_out: bool = False
    at_boottime_ns: int = 0
    cpu_s: float = 0.0
    lost: str = ""
    lost_code: str = ""
    """A code of its own for `lost`, where there is one."""


class Supervised:
    """One process of an attempt, as its agent knows it: started here, or found again."""

    def __init__(self, folder: AttemptFolder, index: int, mark: str) -> None:
        self.index = index
        self._folder, self._mark = folder, mark
        self._told: BinaryIO | None = None
        """Where the supervisor that was made here says how far it is."""
        self._grant = -1
        """Where it waits for its grant; -1: there is none that does."""
        self._process: tuple[int, int] | None = None
        """The supervisor that was made here: its pid and when it began."""
        self.taken = False
        """Whether it was made ahead."""

    @property
    def ever_began(self) -> bool:
        """Whether a supervisor got as far as its first record; if none did, the command never ran."""
        return self._folder.pids(self.index).exists() or self._folder.exit(self.index).exists()

    def prepare(self, nursery: Nursery, keep: tuple[int, ...]) -> None:
        """Have a supervisor make the sandbox and wait there for `start`; where one has begun already, nothing happens. It
        holds `keep` and the lock that tells the world that it lives, and ends by itself when we do before the start."""
        while self._process is None and (lock := self._unbegun()) >= 0:
            self._make(nursery.fork, self._folder.process(self.index), lock, keep)
            self.taken = False

    def take(self, hand: Callable[..., tuple[int, int]], keep: tuple[int, ...]) -> bool:
        """As `prepare`, by handing it to what was made ahead. False when that did not work: then nothing has happened."""
        if self._process is None and (lock := self._unbegun()) >= 0:
            self._make(hand, self._folder.taken, lock, keep)
            self.taken = self._process is not None
        return self.taken

    def _make(self, fork: Callable[..., tuple[int, int]], file: Path, lock: int, keep: tuple[int, ...]) -> None:
        told, tells = os.pipe2(os.O_CLOEXEC)
        granted, grant = os.pipe2(os.O_CLOEXEC)
        try:
            with open(self._folder.root / f"supervisor-{self.index}.err", "ab") as complaints:
                self._process = fork(file, tells, complaints.fileno(), granted, lock, *keep)
            self._told, self._grant = open(told, "rb"), grant  # noqa: SIM115
        except OSError:
            os.close(told)
            os.close(grant)
        finally:
            for descriptor in (tells, granted, lock):
                os.close(descriptor)

    def start(self, nursery: Nursery, keep: tuple[int, ...]) -> None:
        """Let the process run, once: when this returns, a supervisor of it has begun, this one or one that another agent, or
        a nursery that died, had made."""
        while not self.ever_began:
            self.prepare(nursery, keep)
            if self._told is None:
                return
            with contextlib.suppress(BrokenPipeError):
                os.write(self._grant, b"x")
                if self._told.readline():
                    os.close(self._grant)
                    self._grant = -1
                    return
            self.abandon()  # it died while it waited

    def abandon(self) -> None:
        """What was prepared and not started goes; the command has not run and will not."""
        if self._process is not None:
            self.kill()
            self._process = None

    def _unbegun(self) -> int:
        """The lock, ours while no supervisor of this process has begun; -1 when one has."""
        lock = os.open(self._folder.supervisor_lock(self.index), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not self.ever_began:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # somebody looks whether it is held, or holds it and is about to begin
                time.sleep(0.005)
            else:
                if not self.ever_began:
                    return lock
        os.close(lock)
        return -1

    def follow(self, started: Callable[[int, int], None], ended: Callable[[Ending], None]) -> None:
        """Block until it has ended. Calls `started(index, pid)` once the command runs, then `ended`."""
        if self._told is not None:
            with self._told:
                line = self._told.readline()
            with contextlib.suppress(ValueError):
                started(self.index, int(line))
        elif (pid := self.pids().get("inner")) is not None:
            started(self.index, pid)
        wait_unlocked(self._folder.supervisor_lock(self.index))
        ended(self._ending())

    def pids(self) -> dict[str, Any]:
        return read_json(self._folder.pids(self.index)) or {}

    def members(self) -> list[int]:
        """The processes below the supervisor."""
        supervisor = self.pids().get("supervisor", 0)
        return descendants(supervisor) if supervisor else []

    def stop(self) -> None:
        """Ask the supervisor to end its process politely, then firmly."""
        self._signal(signal.SIGTERM)

    def kill(self, *, gathered: bool = False) -> None:
        """End the supervisor and everything that it started, now. `gathered`: nothing can have left the group that is killed
        after this, so no other process of the machine is looked at."""
        self._signal(signal.SIGKILL)
        pids = self.pids()
        if self._is_ours(pids, "child"):
            send(pids["child"], signal.SIGKILL)
        if not gathered:
            kill_marked(self._mark)
        if self._grant >= 0 and self._told is not None:
            os.close(self._grant)
            self._told.close()
            self._grant, self._told = -1, None

    def _signal(self, number: int) -> None:
        pids = self.pids()
        if self._process is not None:
            if is_running(*self._process):
                send(self._process[0], number)
        elif self._is_ours(pids, "supervisor"):
            send(pids["supervisor"], number)

    def _is_ours(self, pids: dict[str, Any], who: str) -> bool:
        return (
            pids.get("boot_id") == boot_id()
            and who in pids
            and is_running(int(pids[who]), int(pids.get(f"{who}_start", -1)))
        )

    def _ending(self) -> Ending:
        record = read_json(self._folder.exit(self.index))
        if record is not None:
            outside = not (record["started"] or record["stopped"] or record["timed_out"] or record["oom"])
            lost, lost_code = (_NEVER_RAN, "SandboxFailed") if outside else ("", "")
            if (
                record["stopped"]
                and self._folder.record("orphaned").exists()
                and not self._folder.record("stop").exists()
            ):
                lost, lost_code = _ORPHANED, "NodeLost"
            return Ending(
                self.index,
                int(record["code"]),
                bool(record["oom"]),
                bool(record["timed_out"]),
                int(record["at_boottime_ns"]),
                float(record["cpu_s"]),
                lost,
                lost_code,
            )
        if not self.ever_began:
            return Ending(self.index, 137, lost="The command never ran: its supervisor did not begin.")
        self.kill()
        pids = self.pids()
        why = "the machine was restarted" if pids and pids.get("boot_id") != boot_id() else "its supervisor was killed"
        return Ending(self.index, 137, lost=f"Process {self.index} left no exit record: {why}.")
