"""The patterns of MLflow's documentation, with its newest clients of both generations.

The whole packages bring 600 MB and take half a minute each: `MAYFLY_TEST_CLIENTS=all` runs them besides.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from mayfly.domain.tracking import RunRole

TRACING = "opentelemetry-sdk<1.35"  # as old as MLflow 2, which does not trace with newer ones
CLIENTS = {"skinny-2": ["mlflow-skinny<3", "psutil", TRACING], "skinny-3": ["mlflow-skinny>=3", "psutil"]}
if os.environ.get("MAYFLY_TEST_CLIENTS") == "all":
    CLIENTS |= {"full-2": ["mlflow<3", "psutil", TRACING], "full-3": ["mlflow>=3", "psutil"]}


@pytest.mark.parametrize("name", CLIENTS)
def test_every_pattern_that_mlflow_allows(world, tmp_path: Path, name: str):
    python = tmp_path / "venv" / "bin" / "python"
    for command in (
        ["venv", "--python", sys.executable, str(tmp_path / "venv")],
        ["pip", "install", "--python", str(python), *CLIENTS[name]],
    ):
        done = subprocess.run([uv.find_uv_bin(), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    job = world.job(name)
    text = Path(__file__).with_name("patterns.py").read_text(encoding="utf-8")
    done = world.run_script(job, text, tmp_path, str(python))
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.rows.metrics(job.job)["loss"] == [0.5, 0.25]
    assert world.rows.params(job.job)["lr"] == "0.1"
    assert world.rows.tags(job.job)["team"] == "blue"
    roles = [run.role for run in world.rows.runs_of(job.job)]
    assert roles[0] is RunRole.JOB
    assert {RunRole.STRAY, RunRole.CHILD} <= set(roles)
