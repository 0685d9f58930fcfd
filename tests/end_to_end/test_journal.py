"""The journal of a job's tracking calls: servers and agents die, and every point is there once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mayfly.testing.embedded import HELLO, Embedded, Make
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault, pytest.mark.timeout(300)]

POINTS = 120
CALLS = """
import json, os, time, urllib.request
def post(operation, content):
    content = {"run_id": os.environ["MLFLOW_RUN_ID"], **content}
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/" + operation, json.dumps(content).encode(),
        {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"})
    while True:
        try:
            return json.load(urllib.request.urlopen(request, timeout=600))
        except urllib.error.HTTPError:
            raise
        except OSError:  # as MLflow's client does, when whoever listened has died
            time.sleep(0.1)
"""
SCRIPT = f"""{CALLS}
post("log-parameter", {{"key": "lr", "value": "0.1"}})
for i in range({POINTS}):
    post("log-metric", {{"key": "loss", "value": "NaN" if i == 7 else i / 8, "timestamp": 1000 + i, "step": i}})
    if i == 20:
        print("under way", flush=True)
    time.sleep(0.01)
post("log-batch", {{"metrics": [{{"key": "many", "value": i, "timestamp": i, "step": i}} for i in range(1000)]}})
try:
    post("log-parameter", {{"key": "lr", "value": "0.2"}})
except urllib.error.HTTPError as error:
    print("refused", error.code, flush=True)
print("done", flush=True)
"""


def _submit(one: Embedded, script: str) -> str:
    path = one.write({**HELLO, "command": "python train.py", "code": "."})
    (path.parent / "train.py").write_text(script)
    return one.json("job", "create", "-f", str(path))["name"]


def _points(one: Embedded, name: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    after = 0
    while page := one.call("GET", f"/jobs/{name}/metrics?after={after}&limit=500"):
        after = page[-1]["sequence"]
        for point in page:
            found.setdefault(point["key"], []).append(point["step"])
    return found


def _whole(one: Embedded, name: str) -> None:
    found = _points(one, name)
    assert found["loss"] == list(range(POINTS))
    assert found["many"] == list(range(1000))
    job = one.job(name)
    assert job["params"] == {"lr": "0.1"}
    assert one.log(name) == "under way\nrefused 400\ndone\n"


def test_a_server_that_is_killed_in_the_middle_costs_no_point(fresh: Make) -> None:
    one = fresh()
    one.start()
    name = _submit(one, SCRIPT)
    one.wait_log(name, "under way")
    assert one.server is not None
    os.kill(one.server.pid, signal.SIGKILL)
    until(lambda: not one.up)
    one.start()
    one.wait(name, "Completed", 120)
    _whole(one, name)


def test_agent_killed_with_a_call_kept_and_not_answered(fresh: Make, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    one = fresh()
    one.start(MAYFLY_KILL_AT="node:journalled", MAYFLY_KILL_ONCE=str(marker))
    name = _submit(one, SCRIPT)
    one.wait(name, "Completed", 120)
    assert marker.exists()
    _whole(one, name)
