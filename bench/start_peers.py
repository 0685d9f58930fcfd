#!/usr/bin/env python3
"""How long from a submission's answer to the command's own first line, in HyperQueue (a local cluster), Ray Jobs, Slurm (`sbatch`, on one
node; and from the first instruction of `srun`, which waits itself) and Metaflow (from the first instruction of `flow.py run`: it has
nobody to submit to); what is not installed is said. Run by `start.py --peers` with an interpreter that may have them; prints JSON.
What each has started has ended when this ends."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


SLURM = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
SlurmdPort={next_port}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
"""What is not said is as Slurm has it."""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of its commands. Raises ImportError where it is not installed, or we are not root."""
    if not all(shutil.which(one) for one in ("slurmctld", "slurmd", "sbatch", "srun")) or os.geteuid() != 0:
        raise ImportError
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = {"port": one.getsockname()[1], "next_port": other.getsockname()[1]}
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(SLURM.format(folder=folder, host=host, cores=os.cpu_count() or 1, **ports))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    running = []
    try:
        for daemon in ("slurmctld", "slurmd"):
            running.append(
                subprocess.Popen([daemon, "-D"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            time.sleep(2)
        while "idle" not in subprocess.run(["sinfo"], env=environment, capture_output=True, text=True).stdout:
            time.sleep(0.2)
        yield environment
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)


def sbatch(folder: Path, jobs: int) -> Iterator[float]:
    with slurm(folder) as environment:
        for number in range(jobs):
            out = folder / f"{number}.txt"
            subprocess.run(["sbatch", "-o", out, "--wrap", LINE], env=environment, check=True, capture_output=True)
            accepted = time.time_ns()
            while not out.exists() or not out.read_text().endswith("\n"):
                time.sleep(0.02)
            yield (int(out.read_text()) - accepted) / 1e6


def srun(folder: Path, jobs: int) -> Iterator[float]:
    with slurm(folder) as environment:
        for _ in range(jobs):
            begin = time.time_ns()
            done = subprocess.run(["srun", *LINE.split()], env=environment, check=True, capture_output=True, text=True)
            yield (int(done.stdout) - begin) / 1e6


PEERS: dict[str, Callable[[Path, int], Iterator[float]]] = {
    "hyperqueue": hyperqueue,
    "ray_jobs": ray_jobs,
    "metaflow": metaflow,
    "slurm_sbatch": sbatch,
    "slurm_srun": srun,
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
