"""How long from `POST job` accepted to the line after a job's imports: a start that was prepared, and the same start that was not.

    python bench/prepared.py [--jobs 10] [--packages numpy pandas scikit-learn] [--imports numpy pandas sklearn.linear_model]
    python bench/prepared.py --packages torch --imports torch

The two in turns, on one warm node; before each, the node has had time to prepare. The environment's
bytecode is there before anything is measured. They differ in one word: a shell's `exec` before the
command, which makes it one that nothing is prepared for. Prints JSON; times in milliseconds. Reach: 300 ms at the median.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mayfly.testing.embedded import WORKSPACE, Embedded
from mayfly.testing.nodes import until
from mayfly.transfer.http import Session
from start import spread

LOG = "user_logs/std_log.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--packages", nargs="+", default=["numpy", "pandas", "scikit-learn"])
    parser.add_argument("--imports", nargs="+", default=["numpy", "pandas", "sklearn.linear_model"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name))
        server.start()
        try:
            print(json.dumps(_measure(server, asked.jobs, asked.packages, asked.imports), indent=1))
        finally:
            server.finish()


def _measure(server: Embedded, jobs: int, packages: list[str], imports: list[str]) -> dict[str, Any]:
    session = Session(server.record["url"], (server.folder / "token").read_text().strip())
    lines = [*(f"import {module}" for module in imports), "import time", "print(time.time_ns())"]
    text = "\n".join(lines)
    environment = {
        "image": "library/python:latest",
        "conda_file": {"dependencies": ["python", {"pip": packages}]},
    }
    kinds = {
        "prepared": {"command": f"python -c '{text}'", "environment": environment},
        "plain": {"command": f"exec python -c '{text}'", "environment": environment},
    }
    _start(session, kinds["plain"])
    for place in (server.folder / "cache" / "environments").glob("*/lib"):
        subprocess.run([sys.executable, "-I", "-m", "compileall", "-q", str(place)], check=False)
    for _ in range(2):
        _start(session, kinds["prepared"])
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    memory = []
    for _ in range(jobs):
        for kind, definition in kinds.items():
            pid = until(lambda: _waits(server), 120, 0.05)
            memory.append(_private_mib(pid))
            lasted, notes = _start(session, definition)
            found[kind].append(lasted)
            if ("was prepared" in notes) != (kind == "prepared"):
                raise SystemExit(f"a {kind} start, but: {notes}")
    middle = {kind: statistics.median(values) for kind, values in found.items()}
    return {
        "question": "accepted to the line after the imports, warm node; prepared, and not",
        "imports": imports,
        "jobs": jobs,
        "milliseconds": {kind: spread(values) for kind, values in found.items()},
        "plain_to_prepared": round(middle["plain"] / middle["prepared"], 1),
        "memory_of_one_that_waits_mib": round(statistics.median(memory), 1),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
    }


def _start(session: Session, definition: dict[str, Any]) -> tuple[float, str]:
    """Milliseconds to the first line, and what is noted of the job, once it has ended."""
    name = session.post(f"{WORKSPACE}/jobs", {"definition": definition})["name"]
    accepted, first = time.time_ns(), 0
    for event, data in session.events(f"{WORKSPACE}/jobs/{name}/stream"):
        if event == "end" and data["status"] != "Completed":
            raise SystemExit(f"a job ended {data['status']}: {data['error']}")
        if event == "log" and data["file"] == LOG and data["text"].strip():
            first = int(data["text"].split()[0])
    return (first - accepted) / 1e6, " ".join(session.get(f"{WORKSPACE}/jobs/{name}")["notes"])


def _waits(server: Embedded) -> int:
    """The interpreter that stands ready on its node, by its number; 0 while there is none."""
    marks = [f"MAYFLY_PROCESS={node}-ahead-".encode() for node in server.nodes()]
    for place in Path("/proc").glob("[0-9]*"):
        try:
            marked = any(mark in (place / "environ").read_bytes() for mark in marks)
            if marked and (place / "stat").read_text().rpartition(") ")[2].startswith("T"):
                return int(place.name)
        except OSError:
            continue
    return 0


def _private_mib(pid: int) -> float:
    """What nobody else has of its memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


if __name__ == "__main__":
    main()
