#!/usr/bin/env python3
"""How long from a submission's answer to the command's own first line, in HyperQueue (a local cluster), Ray Jobs and Metaflow (from the
first instruction of `flow.py run`: it has nobody to submit to); what is not installed is said. Run by `start.py --peers` with an
interpreter that may have them; prints JSON. What each has started has ended when this ends."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

LINE = "date +%s%N"
FLOW = """
import time
from metaflow import FlowSpec, step

class Line(FlowSpec):
    @step
    def start(self):
        print("first line", time.time_ns(), flush=True)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Line()
"""


def hyperqueue(folder: Path, jobs: int) -> Iterator[float]:
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=os.cpu_count() or 1))
        client = cluster.client()
        for number in range(jobs):
            out = folder / f"{number}.txt"
            job = Job()
            job.program(["/bin/sh", "-c", LINE], stdout=str(out), stderr=None)
            submitted = client.submit(job)
            accepted = time.time_ns()
            client.wait_for_jobs([submitted])
            yield (int(out.read_text()) - accepted) / 1e6


def ray_jobs(_folder: Path, jobs: int) -> Iterator[float]:
    import ray
    from ray.job_submission import JobSubmissionClient

    context = ray.init(include_dashboard=True, log_to_driver=False, configure_logging=False)
    try:
        client = JobSubmissionClient(f"http://{context.dashboard_url}")
        for _ in range(jobs):
            name = client.submit_job(entrypoint=LINE)
            accepted = time.time_ns()
            while not client.get_job_status(name).is_terminal():
                time.sleep(0.1)
            first = next(line for line in client.get_job_logs(name).splitlines() if line.strip().isdigit())
            yield (int(first) - accepted) / 1e6
    finally:
        ray.shutdown()


def metaflow(folder: Path, jobs: int) -> Iterator[float]:
    import metaflow as there

    del there
    (folder / "flow.py").write_text(FLOW)
    environment = {**os.environ, "METAFLOW_HOME": str(folder), "USERNAME": "bench"}
    for _ in range(jobs):
        begin = time.time_ns()
        done = subprocess.run(
            [sys.executable, "flow.py", "run"], cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
        said = (done.stdout + done.stderr).partition("first line")[2]
        yield (int(said.split()[0]) - begin) / 1e6


PEERS: dict[str, Callable[[Path, int], Iterator[float]]] = {
    "hyperqueue": hyperqueue,
    "ray_jobs": ray_jobs,
    "metaflow": metaflow,
}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    jobs, found = int(sys.argv[1]), dict[str, object]()
    for name, measure in PEERS.items():
        with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as folder:
            try:
                first, *rest = measure(Path(folder), jobs + 1)  # the first may have to start something
            except ImportError:
                found[name] = "not installed"
                continue
        lasted = sorted(rest or [first])
        found[name] = {
            "min": round(lasted[0], 1),
            "median": round(statistics.median(lasted), 1),
            "max": round(lasted[-1], 1),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
