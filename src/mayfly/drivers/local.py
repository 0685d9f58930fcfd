"""The embedded default: nodes are slices of this machine, each an agent under a watchdog in a session of its own.

A node is a folder `<state>/nodes/<id>`. Everything of a node holds a shared lock on its `node.lock`, so a lock that can
be taken alone proves that nothing of it runs any more; its watchdog holds `watchdog.lock` as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mayfly.domain.catalogue import own_sizes
from mayfly.domain.compute import Amount, Fleet
from mayfly.drivers.files import write_durably
from mayfly.kit.ids import NodeId
from mayfly.ports.compute import GroupWish, NodeWish, Presence, Sighting
from mayfly.transfer.controlgroups import end_groups
from mayfly.transfer.removal import remove_tree
from mayfly.transfer.unmounting import unmount_below

NAME = "local"
_RESTARTS = 8


class LocalProvider:
    """Implements `ports.compute.ComputeProvider`."""

    def __init__(
        self, state_folder: Path, cache_folder: Path, max_nodes: int = 64, orphan_s: float | None = None
    ) -> None:
        """`orphan_s`: see `Fleet`; None, the rule on one machine, lets a job outlive its server for as long as it runs."""
        self._nodes = state_folder / "nodes"
        self._nodes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._state_folder = state_folder
        self._cache_folder = cache_folder
        self._lock = threading.Lock()
        self._children: dict[NodeId, subprocess.Popen[bytes]] = {}
        self._starts: dict[NodeId, int] = {}
        self._fleet = _this_machine(state_folder, max_nodes, orphan_s)

    def fleet(self) -> Fleet:
        return self._fleet

    def create(self, group: GroupWish) -> None:
        for wish in group.nodes:
            with self._lock:
                self._start(wish)

    def delete(self, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            folder = self._nodes / node
            if folder.is_dir():
                (folder / "delete").touch()

    def list(self, nodes: Sequence[NodeId]) -> Sequence[Sighting]:
        return [self._look(node) for node in nodes]

    def _start(self, wish: NodeWish) -> None:
        folder = self._nodes / wish.node
        folder.mkdir(mode=0o700, exist_ok=True)
        if _held(folder / "watchdog.lock") or self._starts.get(wish.node, 0) >= _RESTARTS:
            return
        content = {
            "node": wish.node,
            "token": wish.token,
            "instance_type": wish.instance_type,
            "state_folder": str(self._state_folder),
            "cache_folder": str(self._cache_folder),
            "orphan_s": self._fleet.orphan_s,
        }
        write_durably(folder / "node.json", json.dumps(content).encode())
        child = self._children.get(wish.node)
        if child is not None and child.poll() is None:
            return  # started a moment ago: it has not reached its lock yet
        self._starts[wish.node] = self._starts.get(wish.node, 0) + 1
        with (folder / "node.log").open("ab") as log:
            self._children[wish.node] = subprocess.Popen(
                [sys.executable, "-m", "mayfly.main.node", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name != "MAYFLY_DATABASE"},
                start_new_session=True,
                close_fds=True,
            )

    def _look(self, node: NodeId) -> Sighting:
        folder = self._nodes / node
        with self._lock:
            child = self._children.get(node)
            starting = child is not None and child.poll() is None
        if not folder.is_dir():
            return Sighting(node, Presence.PENDING, "it is ending") if starting else Sighting(node, Presence.GONE)
        if _held(folder / "watchdog.lock"):
            return Sighting(node, Presence.READY)
        if starting:
            return Sighting(node, Presence.PENDING)
        unfinished = any((folder / "attempts").glob("*")) if (folder / "attempts").is_dir() else False
        if _held(folder / "node.lock"):
            return Sighting(node, Presence.DOWN, "its agent and watchdog have died; a job's process lives")
        if unfinished and self._starts.get(node, 0) < _RESTARTS:
            return Sighting(node, Presence.DOWN, "nothing of it runs; what it had recorded is on its disk")
        never_greeted = not (folder / "delete").exists() and not (folder / "greeted").exists()
        if not unfinished and never_greeted and self._starts.get(node, 0) < _RESTARTS:
            return Sighting(node, Presence.DOWN, "it died before it greeted")
        end_groups(f"{node}-")
        unmount_below(folder)
        with suppress(OSError):
            remove_tree(folder)
        with self._lock:
            self._children.pop(node, None)
            self._starts.pop(node, None)
        return Sighting(node, Presence.GONE, "nothing of it runs any more")


def _held(path: Path) -> bool:
    """Whether anybody holds the lock. A file that is not there is held by nobody."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _this_machine(folder: Path, max_nodes: int, orphan_s: float | None) -> Fleet:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    gpus = _gpus()
    disk = round(shutil.disk_usage(folder).free / (1 << 30), 1)
    total = Amount(cores, memory, frozenset(gpus))
    sizes = own_sizes(cores, memory, disk, len(gpus))
    return Fleet(NAME, total, sizes, disk, emulates=True, max_nodes=max_nodes, orphan_s=orphan_s)


def _gpus() -> list[str]:
    """UUIDs of NVIDIA GPUs; none where nvidia-smi is missing or fails."""
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return (
        [line.strip() for line in found.stdout.splitlines() if line.startswith("GPU-")] if not found.returncode else []
    )
