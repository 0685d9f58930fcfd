"""What a running attempt uses: from its control group, else from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mayfly.node.disk import folder_bytes
from mayfly.node.limits import Group, Use

PERIOD_S = 2.0
_DISK_PERIOD_S = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(slots=True)
class Meter:
    """Remembers peaks between readings of one attempt."""

    folder: Path
    begun: float = field(default_factory=time.monotonic)
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    disk_mib: float = 0.0
    disk_read: float = -_DISK_PERIOD_S

    def read(self, group: Group | None, pids: Callable[[], list[int]], *, disk_now: bool = False) -> dict[str, float]:
        """The fields of a Sample. `pids`: the job's processes, looked for where no group counts."""
        use = group.use() if group is not None else Use()
        counted = _count(pids()) if use.cpu_s is None or use.memory_mib is None else (0.0, 0.0)
        memory = use.memory_mib if use.memory_mib is not None else counted[1]
        self.cpu_s = max(self.cpu_s, use.cpu_s if use.cpu_s is not None else counted[0])
        self.peak_mib = max(self.peak_mib, memory, use.memory_peak_mib or 0.0)
        now = time.monotonic()
        if disk_now or now - self.disk_read >= _DISK_PERIOD_S:
            self.disk_mib = folder_bytes(self.folder) / (1 << 20)
            self.disk_read = now
        return {
            "cpu_s": self.cpu_s,
            "memory_mib": memory,
            "memory_peak_mib": self.peak_mib,
            "disk_mib": self.disk_mib,
            "wall_s": now - self.begun,
        }


def _count(pids: list[int]) -> tuple[float, float]:
    """CPU seconds (those of ended children too) and resident MiB."""
    cpu = memory = 0.0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            cpu += sum(int(ticks) for ticks in fields[11:15]) / _TICKS
            memory += int(fields[21]) * _PAGE / (1 << 20)
    return cpu, memory
