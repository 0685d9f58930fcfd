"""MLflow's own client in a job: what it logs lands in the job's run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mayfly.testing.embedded import Make

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

PLAIN = "import mlflow; mlflow.log_param('lr', 0.1); mlflow.log_metric('loss', 0.5, step=1)"
STARTED = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metrics({'loss': 0.25, 'acc': 0.75}, step=2)\n"


def test_plain_logging_and_start_run_land_in_the_jobs_run(fresh: Make) -> None:
    cache = os.environ.get("UV_CACHE_DIR") or str(Path("~/.cache/uv").expanduser())  # packages once, not for each test
    one = fresh(UV_CACHE_DIR=cache)
    one.start()
    path = one.write(
        {
            "command": "python plain.py && python started.py",
            "code": ".",
            "environment": {
                "image": "library/python:latest",
                "conda_file": {"dependencies": ["python", {"pip": ["mlflow-skinny"]}]},
            },
        }
    )
    (path.parent / "plain.py").write_text(PLAIN)
    (path.parent / "started.py").write_text(STARTED)
    name = one.json("job", "create", "-f", str(path))["name"]
    job = one.wait(name, "Completed", 240)
    assert job["metrics"] == {"loss": 0.25, "acc": 0.75}
    assert job["params"] == {"lr": "0.1"}
    history = one.call("GET", f"/jobs/{name}/metrics")
    assert [(m["value"], m["step"]) for m in history if m["key"] == "loss"] == [(0.5, 1), (0.25, 2)]
