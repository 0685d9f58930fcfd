"""How long from `POST job` accepted to the job's own first line, on a warm node with a cached environment, beside the bare
floor: a sandboxed process and as many fsyncs as a durable start needs. The two alternate in one run.

    python bench/start.py [--jobs 20]

Prints JSON; times in milliseconds. Reach: at most twice the floor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mayfly.transfer.http import Session

FSYNCS = 5
"""accept, reserve, assignment on the node, grant, launch record."""
WS = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default"
JOB = {"command": "date +%s%N", "environment": {"image": "library/python:latest"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    count = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        home = Path(name)
        server = subprocess.Popen(
            [sys.executable, "-m", "mayfly.main.server", "--home", str(home)], start_new_session=True
        )
        try:
            session = _session(home)
            _job(session)  # the first creates the node
            started, accepted, floors = [], [], []
            for _ in range(count):
                accept, start = _job(session)
                accepted.append(accept)
                started.append(start)
                floors.append(_floor(home))
            print(json.dumps(_result(started, accepted, floors), indent=1))
        finally:
            session.post("/mayfly/v1/server/down", {"mode": "cancel-jobs"})
            server.wait(30)


def _session(home: Path) -> Session:
    record = home / "server.json"
    _wait(record.exists, 30)
    return Session(json.loads(record.read_text())["url"], (home / "token").read_text().strip())


def _job(session: Session) -> tuple[float, float]:
    """Milliseconds until accepted, and from accepted to the first line."""
    begin = time.time_ns()
    view = session.post(f"{WS}/jobs", {"definition": JOB})
    accepted = time.time_ns()
    for event, data in session.events(f"{WS}/jobs/{view['name']}/stream"):
        if event == "end":
            if data["status"] != "Completed":
                raise SystemExit(f"a job ended {data['status']}: {data['error']}")
            break
        if event == "log" and data["file"].endswith("std_log.txt"):
            first = int(data["text"].split()[0])
    return (accepted - begin) / 1e6, (first - accepted) / 1e6


def _floor(home: Path) -> float:
    """The same line from a bare sandbox, after the same number of durable writes."""
    begin = time.time_ns()
    for number in range(FSYNCS):
        handle = os.open(home / f"floor{number}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, b"x" * 512)
        os.fsync(handle)
        os.close(handle)
    command = ["/bin/sh", "-c", "date +%s%N"]
    if shutil.which("bwrap"):
        command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", *command]
    return (int(subprocess.run(command, capture_output=True, check=True).stdout) - begin) / 1e6


def _result(started: list[float], accepted: list[float], floors: list[float]) -> dict[str, object]:
    median = statistics.median
    return {
        "question": "POST accepted to the job's first line, warm node",
        "jobs": len(started),
        "start_ms": _spread(started),
        "accept_ms": _spread(accepted),
        "floor_ms": _spread(floors),
        "ratio_to_floor": round(median(started) / median(floors), 2),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
    }


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "min": round(ordered[0], 1),
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
    }


def _wait(condition, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("gave up waiting")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
