"""How long from `POST job` accepted to the job's own first line, on a warm node with a cached environment; from the first
instruction of `mayfly job create`; and what a step of a pipeline costs. Beside them, in turns within one run:

* the floor: bubblewrap and a control group by hand, and as many fsyncs as a durable start needs;
* `python -c pass`, for what the command line costs;
* with `--peers` and an interpreter that has them: HyperQueue, Ray Jobs, Metaflow, and Slurm where it is installed, right afterwards.

    python bench/start.py [--jobs 20] [--timeline] [--peers PYTHON]

Prints JSON; times in milliseconds. `--timeline` adds when each persisted step was passed, for the start in the middle.
Reach: at most twice the floor and 40 ms at the median of a quiet machine; a step 80 ms; the command the floor and 200 ms.
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
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mayfly.node import limits
from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded
from mayfly.transfer.http import Session
from mayfly.wire.agent import Limits

FSYNCS = 5
"""accepted, reserved, granted, and the record that it began, which is a file and its name."""
STEPS = 5
LINE = {**HELLO, "command": "date +%s%N"}
STEP = {"type": "command", "component": {"type": "command", **LINE}}
LOG = "user_logs/std_log.txt"


class Trace:
    """The kill points that all processes of a server come by, with the moment at which each was read."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo)
        self.passed: list[tuple[int, str]] = []
        self._descriptor = os.open(fifo, os.O_RDWR)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while True:
            data, now = os.read(self._descriptor, 1 << 16), time.time_ns()
            *lines, rest = (rest + data).split(b"\n")
            self.passed += [(now, line.decode()) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--timeline", action="store_true")
    parser.add_argument("--peers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name))
        trace = Trace(server.place / "trace") if options.timeline else None
        server.start(**({"MAYFLY_KILL_TRACE": str(server.place / "trace")} if trace else {}))
        try:
            result = _measure(server, options.jobs, trace)
        finally:
            server.finish()
    if options.peers:
        result["peers"] = _peers(options.peers, options.jobs)
    print(json.dumps(result, indent=1))


def _measure(server: Embedded, jobs: int, trace: Trace | None) -> dict[str, object]:
    session = Session(server.record["url"], (server.folder / "token").read_text().strip())
    file = server.write(LINE)
    kinds: dict[str, Callable[[], float]] = {
        "floor": lambda: _floor(server.place),
        "start": lambda: _start(session, started),
        "python_pass": lambda: _run([sys.executable, "-c", "pass"]),
        "command": lambda: _command(server, session, file),
    }
    started: list[tuple[float, int]] = []
    for _ in range(2):  # the first creates the node
        for measure in kinds.values():
            measure()
    started.clear()
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    timelines = []
    for _ in range(jobs):
        for kind, measure in kinds.items():
            if trace is not None:
                trace.passed.clear()
            found[kind].append(measure())
            if trace is not None and kind == "start":
                timelines.append((started[-1], list(trace.passed)))
    _step(session, server)  # while one node is released the next step begins on another, which is made here
    found["step"] = [_step(session, server) for _ in range(max(2, jobs // STEPS))]
    result = _result(found)
    if timelines:
        (lasted, accepted), passed = sorted(timelines)[len(timelines) // 2]
        end = accepted + lasted * 1e6
        result["timeline"] = [
            f"{(at - accepted) / 1e6:7.1f} {point}"
            for at, point in [*passed, (int(end), "THE JOB'S OWN FIRST LINE")]
            if at <= end + 1
        ]
    return result


def _start(session: Session, started: list[tuple[float, int]]) -> float:
    """Milliseconds from accepted to the first line; `started` hears when it was accepted too."""
    view = session.post(f"{WORKSPACE}/jobs", {"definition": LINE})
    accepted = time.time_ns()
    lasted = (_first_line(session, view["name"]) - accepted) / 1e6
    started.append((lasted, accepted))
    return lasted


def _first_line(session: Session, name: str) -> int:
    """What the job wrote, once it has ended and its node is free again."""
    first = 0
    for event, data in session.events(f"{WORKSPACE}/jobs/{name}/stream"):
        if event == "end" and data["status"] != "Completed":
            raise SystemExit(f"a job ended {data['status']}: {data['error']}")
        if event == "log" and data["file"] == LOG:
            first = int(data["text"].split()[0])
    time.sleep(0.1)
    return first


def _command(server: Embedded, session: Session, file: Path) -> float:
    begin = time.time_ns()
    name = server.json("job", "create", "-f", str(file))["name"]
    return (_first_line(session, name) - begin) / 1e6


def _step(session: Session, server: Embedded) -> float:
    """Of a chain: from one step's own line to the next one's."""
    steps: dict[str, Any] = {"s0": STEP}
    for number in range(1, STEPS):
        steps[f"s{number}"] = {**STEP, "depends_on": [f"s{number - 1}"]}
    pipeline = {"type": "pipeline", "settings": {"force_rerun": True}, "jobs": steps}
    name = session.post(f"{WORKSPACE}/jobs", {"definition": pipeline})["name"]
    server.wait(name, "Completed")
    children = session.get(f"{WORKSPACE}/jobs", {"parent": name})["jobs"]
    lines = sorted(int(server.log(child["name"])) for child in children)
    return (lines[-1] - lines[0]) / 1e6 / (STEPS - 1)


def _floor(folder: Path) -> float:
    """The same line from a bare sandbox in a control group, after the same number of durable writes. The environment is
    an interpreter alone, so nothing is laid over anything here either."""
    begin = time.time_ns()
    for number in range(FSYNCS):
        handle = os.open(folder / f"floor{number}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, b"x" * 512)
        os.fsync(handle)
        os.close(handle)
    group = limits.probe().make("bench-start", Limits(cores=1, memory_mib=512))
    enter = "".join(f"echo $$ > {entrance}/cgroup.procs; " for entrance in group.entrances)
    command = ["/bin/sh", "-c", LINE["command"]]
    if shutil.which("bwrap"):
        command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", *command]
    done = subprocess.run(["/bin/sh", "-c", f'{enter}exec "$@"', "sh", *command], capture_output=True, check=True)
    group.remove()
    return (int(done.stdout) - begin) / 1e6


def _peers(interpreter: str, jobs: int) -> dict[str, object]:
    script = Path(__file__).with_name("start_peers.py")
    done = subprocess.run([interpreter, str(script), str(jobs)], capture_output=True, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _run(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    return (time.perf_counter() - begin) * 1e3


def _result(found: dict[str, list[float]]) -> dict[str, object]:
    middle = {kind: statistics.median(values) for kind, values in found.items()}
    return {
        "question": "accepted to the job's first line, warm node; the same from the command; a step of a pipeline",
        "jobs": len(found["start"]),
        "milliseconds": {kind: spread(values) for kind, values in found.items()},
        "start_to_floor": round(middle["start"] / middle["floor"], 2),
        "command_beyond_floor_and_pass": round(middle["command"] - middle["floor"] - middle["python_pass"], 1),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
    }


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "min": round(ordered[0], 1),
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
    }


if __name__ == "__main__":
    main()
