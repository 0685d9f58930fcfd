"""How long do 500 trivial jobs take to their ends, how much of a processor does the server spend on each, and what does it take when
nothing happens? Beside it, in turns, the floor: a loop of as many bare sandboxes as there are cores.

    python bench/trivial.py [--jobs 500] [--rounds 3] [--rest 60]

A real server and its nodes. Prints JSON. Reach: 60 % of the floor's rate, 2 ms of a processor a job; at rest 0.2 % of one and 150 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mayfly.testing.embedded import HELLO, Embedded
from mayfly.testing.nodes import until

CORES = os.cpu_count() or 1
TRIVIAL = {**HELLO, "command": "true", "resources": {"instance_type": "local_1"}}
TICKS = os.sysconf("SC_CLK_TCK")


def ours(server: Embedded, jobs: int) -> tuple[float, float]:
    """Jobs a second, and milliseconds of a processor that the server spent on each."""
    before, begin = spent(server), time.perf_counter()
    server.call("POST", "/jobs:batch", {"jobs": [{"definition": TRIVIAL}] * jobs})
    until(
        lambda: not server.call("GET", "/jobs?state=Queued,Provisioning,Preparing,Running,Finalizing&limit=1")["jobs"],
        600,
        0.5,  # looking costs the server a little, too
    )
    seconds = time.perf_counter() - begin
    return jobs / seconds, (spent(server) - before) * 1000 / jobs


def floor(jobs: int) -> float:
    command = ["true"]
    if shutil.which("bwrap"):
        command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    begin = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda _: subprocess.run(command, check=True), range(jobs)))
    return jobs / (time.perf_counter() - begin)


def spent(server: Embedded) -> float:
    """Seconds of a processor that the server has had."""
    words = Path(f"/proc/{server.record['pid']}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICKS


def rest(server: Embedded, seconds: float) -> dict[str, float]:
    until(lambda: not server.call("GET", "/mayfly/v1/server")["nodes"], 120, 1)
    time.sleep(5)
    before = spent(server)
    time.sleep(seconds)
    status = Path(f"/proc/{server.record['pid']}/status").read_text()
    kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    return {"processor_percent": round((spent(server) - before) * 100 / seconds, 2), "memory_mb": round(kib / 1000)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name), MAYFLY_IDLE_SECONDS="5")
        server.start()
        try:
            ours(server, 4)
            found = [(ours(server, options.jobs), floor(options.jobs)) for _ in range(options.rounds)]
            rates, floors = [one[0][0] for one in found], [one[1] for one in found]
            result = {
                "question": "trivial jobs to their ends",
                "jobs": options.jobs,
                "a_second": round(statistics.median(rates), 1),
                "floor_a_second": round(statistics.median(floors), 1),
                "share_of_floor": round(statistics.median(rates) / statistics.median(floors), 2),
                "server_ms_a_job": round(statistics.median(one[0][1] for one in found), 1),
                "at_rest": rest(server, options.rest),
                "machine": {"system": platform.platform(), "cores": CORES, "load": os.getloadavg()[0]},
            }
            print(json.dumps(result, indent=1))
        finally:
            server.finish()


if __name__ == "__main__":
    main()
