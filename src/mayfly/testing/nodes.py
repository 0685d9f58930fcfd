"""Nodes on this machine, started as a provider starts them, and a scripted server for them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mayfly.testing.agentserver import AgentServer
from mayfly.transfer.unmounting import unmount_below
from mayfly.wire import agent as wire


class Nodes:
    """Starts nodes below one state folder and ends them all."""

    def __init__(self, state: Path) -> None:
        self.state = state
        state.mkdir(mode=0o700)
        self.server = AgentServer(state / "servers" / "scripted.json")
        self.server.start()
        self._watchdogs: dict[str, subprocess.Popen[bytes]] = {}

    def folder(self, node: str) -> Path:
        return self.state / "nodes" / node

    def start(self, node: str = "", orphan_s: float | None = None, **environment: str) -> str:
        node = node or f"node_{uuid.uuid4().hex[:12]}"
        folder = self.folder(node)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        told = {
            "node": node,
            "token": f"secret-of-{node}",
            "instance_type": "local_1",
            "state_folder": str(self.state),
            "cache_folder": str(self.state / "cache"),
            "orphan_s": orphan_s,
        }
        (folder / "node.json").write_text(json.dumps(told), encoding="utf-8")
        (folder / "node.json").chmod(0o600)
        with (folder / "node.log").open("ab") as log:
            self._watchdogs[node] = subprocess.Popen(
                [sys.executable, "-m", "mayfly.main.node", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "SERVER_SECRET": "do not tell", **environment},
            )
        return node

    def watchdog(self, node: str) -> subprocess.Popen[bytes]:
        return self._watchdogs[node]

    def agent_pid(self, node: str) -> int:
        """The agent is the watchdog's only child."""
        return until(lambda: children(self._watchdogs[node].pid))[0]

    def nursery_pid(self, node: str) -> int:
        """The nursery of its supervisors is the agent's only lasting child."""
        return until(lambda: children(self.agent_pid(node)))[0]

    def processes(self, node: str, job: str) -> list[int]:
        """Those of the job that live, wherever they went."""
        wanted = f"MAYFLY_PROCESS={node}/{job}/".encode()
        found = []
        for place in Path("/proc").iterdir():
            try:
                if place.name.isdigit() and wanted in (place / "environ").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue
        return found

    def is_free(self, node: str) -> bool:
        """Whether the node's lock is free: nothing of it runs."""
        with (self.folder(node) / "node.lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def log(self, node: str) -> str:
        return (self.folder(node) / "node.log").read_text(encoding="utf-8")

    def close(self) -> None:
        self.server.unknown = True
        if not self.server.up:
            self.server.start()
        self.server.wish_node("end")
        for node, watchdog in self._watchdogs.items():
            try:
                watchdog.wait(15)
            except subprocess.TimeoutExpired:
                kill(watchdog.pid, *children(watchdog.pid))
                watchdog.wait()
            complaints = self.log(node)
            assert "Traceback" not in complaints, complaints
        self.server.stop()
        unmount_below(self.state)


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`, whichever of its threads made them."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in tasks.read_text(encoding="ascii").split()]
        except OSError:
            continue
    return sorted(found)


def kill(*pids: int) -> None:
    """As a power cut would; one that the end of another took along is gone already."""
    for pid in pids:
        assert pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def until(condition: Callable[[], Any], timeout_s: float = 20.0, pause_s: float = 0.01) -> Any:
    """Look until the condition holds; its value. A machine that others starve gets five times as long."""
    deadline = time.monotonic() + 5 * timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(pause_s)
    return value


def assignment(job: str, command: str, **changes: Any) -> wire.Assignment:
    """A job that needs nothing but an interpreter."""
    parts: dict[str, Any] = {
        "fence": wire.Fence(job=job, attempt=1, epoch=1),
        "token": f"token-of-{job}-{changes.get('rank', 0)}",
        "name": job,
        "rank": 0,
        "node_count": 1,
        "instance_type": "local_1",
        "command": command,
        "code": None,
        "environment": wire.EnvironmentPlan(
            digest="", name="none", python=sys.executable, python_version=".".join(map(str, sys.version_info[:2]))
        ),
        "limits": wire.Limits(cores=1, memory_mib=512),
        "tracking": wire.Tracking(run="0" * 32, experiment="Default"),
        "workspace": {"subscription": "local", "resource_group": "local", "workspace": "default"},
    }
    return wire.Assignment(**(parts | changes))
