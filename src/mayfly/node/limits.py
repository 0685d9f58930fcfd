"""Limits on what a job uses: control groups, version 2 or 1, whichever holds which controller here."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mayfly.node.processes import send
from mayfly.transfer.controlgroups import FAMILY, OWN, ROOT, places
from mayfly.wire.agent import Limits

_PERIOD_US = 100_000
_VERSION_1 = {"cpu": "cpu", "cpuacct": "cpuacct", "memory": "memory", "pids": "pids", "freezer": "freezer"}


@dataclass(frozen=True, slots=True)
class Use:
    """What a group used so far; None where nobody counts it."""

    cpu_s: float | None = None
    memory_mib: float | None = None
    memory_peak_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of one attempt: one folder under version 2, several under version 1, none where neither
    can be written."""

    version: int
    folders: dict[str, Path]

    @property
    def entrances(self) -> list[str]:
        """Folders of the groups that a process joins, to be limited with all its children."""
        return [str(folder) for folder in dict.fromkeys(self.folders.values())]

    @property
    def oom_file(self) -> str:
        """A file with a line `oom_kill <n>`; '' where nobody counts."""
        if "memory" not in self.folders:
            return ""
        return str(self.folders["memory"] / ("memory.events" if self.version == 2 else "memory.oom_control"))

    def pids(self) -> set[int]:
        found: set[int] = set()
        for folder in set(self.folders.values()):
            with suppress(OSError):
                found |= {int(line) for line in (folder / "cgroup.procs").read_text(encoding="ascii").split()}
        return found

    def kill(self, patience_s: float = 10.0) -> None:
        """SIGKILL all processes in the group until it is empty, or patience ends."""
        deadline = time.monotonic() + patience_s
        if self.version == 2 and self.folders:
            with suppress(OSError):
                (next(iter(self.folders.values())) / "cgroup.kill").write_text("1", encoding="ascii")
        while (alive := self.pids()) and time.monotonic() < deadline:
            for pid in alive:
                send(pid, signal.SIGKILL)
            time.sleep(0.002)

    def remove(self) -> None:
        """Delete the empty groups; those still in use stay."""
        for folder in set(self.folders.values()):
            with suppress(OSError):
                folder.rmdir()

    def use(self) -> Use:
        if self.version == 2 and self.folders:
            folder = next(iter(self.folders.values()))
            cpu = _field(folder / "cpu.stat", "usage_usec")
            now, peak = _number(folder / "memory.current"), _number(folder / "memory.peak")
            return Use(None if cpu is None else cpu / 1e6, _mib(now), _mib(peak))
        cpu = _number(self.folders["cpuacct"] / "cpuacct.usage") if "cpuacct" in self.folders else None
        now = peak = None
        if "memory" in self.folders:
            now = _number(self.folders["memory"] / "memory.usage_in_bytes")
            peak = _number(self.folders["memory"] / "memory.max_usage_in_bytes")
        return Use(None if cpu is None else cpu / 1e9, _mib(now), _mib(peak))


@dataclass(frozen=True, slots=True)
class Machine:
    """Which controllers can be written here: controller → the folder that ours go into."""

    version: int
    roots: dict[str, Path]

    @property
    def holding(self) -> tuple[str, ...]:
        """Names for `Hello.limits`."""
        names = [name for name in ("cpu", "memory", "pids") if name in self.roots]
        return (*names, "kill") if self.roots else ()

    def group(self, name: str) -> Group:
        """The group of that name, whether it exists or not."""
        return Group(self.version, {controller: root / name for controller, root in self.roots.items()})

    def make(self, name: str, limits: Limits) -> Group:
        """Make it, repeatably, and set its limits. A controller that refuses is left out of the answer."""
        group = self.group(name)
        held = {}
        for controller, folder in group.folders.items():
            try:
                folder.mkdir(exist_ok=True)
                for file, value in _settings(self.version, controller, limits):
                    (folder / file).write_text(value, encoding="ascii")
                held[controller] = folder
            except OSError:
                continue
        return Group(self.version, held)


def probe(root: Path = ROOT, own: Path = OWN) -> Machine:
    """What this machine gives us, tried by making our folders. Never raises."""
    if (root / "cgroup.controllers").exists():
        return _probe_2(root, own)
    roots = {}
    for controller, name in _VERSION_1.items():
        folder = root / name / FAMILY
        try:
            folder.mkdir(exist_ok=True)
            if os.access(folder / "cgroup.procs", os.W_OK):
                roots[controller] = folder
        except OSError:
            continue
    return Machine(1, roots)


def _probe_2(root: Path, own: Path) -> Machine:
    for place in places(root, own):
        folder = place / FAMILY
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            continue
        for above in (place, folder):
            for controller in ("cpu", "memory", "pids"):
                with suppress(OSError):
                    (above / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
        with suppress(OSError):
            enabled = (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
            held = {name: folder for name in ("cpu", "memory", "pids") if name in enabled}
            if held:
                return Machine(2, held)
    return Machine(2, {})


def _settings(version: int, controller: str, limits: Limits) -> list[tuple[str, str]]:
    quota = limits.cores * _PERIOD_US
    memory = limits.memory_mib << 20
    if version == 2:
        return {
            "cpu": [("cpu.max", f"{quota} {_PERIOD_US}")],
            "memory": [("memory.max", str(memory))],
            "pids": [("pids.max", str(limits.pids))],
        }.get(controller, [])
    return {
        "cpu": [("cpu.cfs_period_us", str(_PERIOD_US)), ("cpu.cfs_quota_us", str(quota))],
        "memory": [("memory.limit_in_bytes", str(memory))],
        "pids": [("pids.max", str(limits.pids))],
    }.get(controller, [])


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int | None:
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return None


def _mib(count: int | None) -> float | None:
    return None if count is None else count / (1 << 20)
