"""How long the snapshot of a code folder takes when nothing in it has changed, and what travels when one file has.

    python bench/snapshot.py [--files 10000] [--rounds 7]

Against a real server in a state folder of its own. `unchanged` is everything between the command and the request: the
folder walked, every file compared with what was hashed before, the ignore files obeyed, the server asked. Beside it,
alternating in one run, `stat` of the same files. Prints JSON; times in milliseconds, medians. Reach: 10,000 unchanged
files ≤ 300 ms, one changed file sends that file only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from mayfly.client import jobfile, snapshot
from mayfly.client.doors import Doors, Place
from mayfly.kit.ids import Digest
from mayfly.transfer.http import Session

JOB = "command: ls\ncode: code\nenvironment: {image: library/python:latest}\n"
IN_A_FOLDER = 100


class Counted(Doors):
    """Doors that count what is sent through them."""

    sent: list[int]

    def store(self, items: Iterable[tuple[Digest, int, Iterable[bytes]]]) -> int:
        taken = list(items)
        self.sent += [size for _, size, _ in taken]
        return super().store(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        home = Path(name)
        server = subprocess.Popen(
            [sys.executable, "-m", "mayfly.main.server", "--home", str(home / "state")], start_new_session=True
        )
        try:
            doors = Counted(_session(home / "state"), Place())
            print(json.dumps(_measure(home, doors, asked.files, asked.rounds), indent=1))
            doors.session.post("/mayfly/v1/server/down", {"mode": "cancel-jobs"})
        finally:
            server.terminate()
            server.wait(60)


def _measure(home: Path, doors: Counted, count: int, rounds: int) -> dict[str, object]:
    files = _make(home, count)
    first, sent_first = _prepare(home, doors)
    _prepare(home, doors)  # what was too fresh to be remembered is hashed again
    unchanged, stats = [], []
    for _ in range(rounds):
        stats.append(_stat(files))
        took, sent = _prepare(home, doors)
        assert sent == [], f"{len(sent)} files were sent again"
        unchanged.append(took)
    files[count // 2].write_text("another content\n")
    one, sent_one = _prepare(home, doors)
    return {
        "files": count,
        "unchanged_ms": round(statistics.median(unchanged), 1),
        "unchanged_worst_ms": round(max(unchanged), 1),
        "stat_ms": round(statistics.median(stats), 1),
        "times_stat": round(statistics.median(unchanged) / statistics.median(stats), 2),
        "first_ms": round(first, 1),
        "first_sent": {"files": len(sent_first), "bytes": sum(sent_first)},
        "one_changed_ms": round(one, 1),
        "one_changed_sent": {"files": len(sent_one), "bytes": sum(sent_one)},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "machine": {"python": platform.python_version(), "cores": os.cpu_count()},
    }


def _make(home: Path, count: int) -> list[Path]:
    """Small files, written a minute ago."""
    (home / "job.yml").write_text(JOB)
    ago = time.time() - 60
    files = []
    for number in range(count):
        path = home / "code" / f"part-{number // IN_A_FOLDER}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value = {number}\n" * 20)
        os.utime(path, (ago, ago))
        files.append(path)
    time.sleep(2.5)  # the cache remembers nothing younger
    return files


def _prepare(home: Path, doors: Counted) -> tuple[float, list[int]]:
    """Milliseconds, and the sizes of the files that were sent."""
    doors.sent = []
    began = time.perf_counter()
    snapshot.prepare(jobfile.read(home / "job.yml"), doors, cache=home / "digests.json")
    return (time.perf_counter() - began) * 1000, doors.sent


def _stat(files: list[Path]) -> float:
    paths = [str(path) for path in files]
    began = time.perf_counter()
    for path in paths:
        os.stat(path)  # noqa: PTH116
    return (time.perf_counter() - began) * 1000


def _session(folder: Path) -> Session:
    record = folder / "server.json"
    until = time.monotonic() + 60
    while not record.exists():
        if time.monotonic() > until:
            raise SystemExit("the server did not start")
        time.sleep(0.05)
    return Session(json.loads(record.read_text())["url"], (folder / "token").read_text().strip())


if __name__ == "__main__":
    main()
