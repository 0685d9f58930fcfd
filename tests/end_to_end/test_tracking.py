"""MLflow's own client in a job: what it logs lands in the job's run."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from mayfly.testing.embedded import HELLO, Embedded, Make, command_line

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

PLAIN = "import mlflow; mlflow.log_param('lr', 0.1); mlflow.log_metric('loss', 0.5, step=1)"
STARTED = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metrics({'loss': 0.25, 'acc': 0.75}, step=2)\n"
MODELS = """
import mlflow
from pathlib import Path
client = mlflow.MlflowClient()
for name, file in (("made", "MLmodel"), ("mine", "weights.bin")):
    folder = mlflow.artifacts.download_artifacts(f"models:/{name}/1")
    print(name, Path(folder, file).read_text().strip(), client.get_latest_versions(name)[0].version)
client.set_registered_model_alias("made", "best", "1")
print(sorted(one.name for one in client.search_registered_models()), client.get_model_version_by_alias("made", "best").version)
"""
BIG = """
import http.client, json, os, sys
from urllib.parse import urlsplit
address, run, size = urlsplit(os.environ["MLFLOW_TRACKING_URI"]).netloc, os.environ["MLFLOW_RUN_ID"], int(sys.argv[1])
def ask(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(address)
    headers["Authorization"] = "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]
    connection.request(method, "/api/2.0/" + path, body, headers)
    answer = connection.getresponse()
    assert answer.status == 200, (answer.status, answer.read())
    return answer
root = json.load(ask("GET", "mlflow/artifacts/list?run_id=" + run))["root_uri"].removeprefix("mlflow-artifacts:")
with open("big.bin", "wb") as file:
    file.truncate(size)
with open("big.bin", "rb") as file:
    ask("PUT", "mlflow-artifacts/artifacts" + root + "/big.bin", file, **{"Content-Length": str(size)})
answer, got = ask("GET", "mlflow-artifacts/artifacts" + root + "/big.bin"), 0
while chunk := answer.read(1 << 20):
    got += len(chunk)
assert got == size, got
"""


def test_a_jobs_client_logs_to_its_run_and_reads_models_made_otherwise(fresh: Make) -> None:
    cache = os.environ.get("UV_CACHE_DIR") or str(Path("~/.cache/uv").expanduser())  # packages once, not for each test
    one = fresh(UV_CACHE_DIR=cache)
    one.start()
    path = one.write(
        {
            "command": "python plain.py && python started.py && python models.py",
            "code": ".",
            "environment": {
                "image": "library/python:latest",
                "conda_file": {"dependencies": ["python", {"pip": ["mlflow-skinny"]}]},
            },
        }
    )
    (path.parent / "plain.py").write_text(PLAIN)
    (path.parent / "started.py").write_text(STARTED)
    (path.parent / "models.py").write_text(MODELS)
    output = {"type": "mlflow_model", "name": "made"}
    made = {**HELLO, "command": "echo 'flavors: {}' > ${{outputs.m}}/MLmodel", "outputs": {"m": output}}
    one.wait(one.submit(made), "Completed")
    weights = one.place / "weights.bin"
    weights.write_text("heavy")
    one.json("model", "create", "--name", "mine", "--type", "custom_model", "--path", str(weights))
    name = one.json("job", "create", "-f", str(path))["name"]
    job = one.wait(name, "Completed", 240)
    assert job["metrics"] == {"loss": 0.25, "acc": 0.75}
    assert job["params"] == {"lr": "0.1"}
    assert "made flavors: {} 1\nmine heavy 1\n['made', 'mine'] 1\n" in one.log(name)
    history = one.call("GET", f"/jobs/{name}/metrics")
    assert [(m["value"], m["step"]) for m in history if m["key"] == "loss"] == [(0.5, 1), (0.25, 2)]


def test_an_artifact_of_any_size_costs_no_memory_on_its_way(embedded: Embedded) -> None:
    def log(size: int) -> str:
        path = embedded.write({**HELLO, "command": f"python big.py {size}", "code": "."})
        (path.parent / "big.py").write_text(BIG)
        name = embedded.json("job", "create", "-f", str(path))["name"]
        embedded.wait(name, "Completed", 120)
        return name

    log(4 << 20)
    before = _peaks(embedded)
    _look_at(embedded, log(100 << 20), 100 << 20)
    grown = {part: peak - before[part] for part, peak in _peaks(embedded).items() if part in before}
    assert set(grown) == {"mayfly.main.server", "mayfly.main.mlflow", "mayfly.main.node --agent"}
    assert max(grown.values()) < 40 << 10, grown


def _look_at(one: Embedded, name: str, size: int) -> None:
    """As a browser does that reads slowly at first."""
    link = one.call("POST", f"/jobs/{name}/web", {})["url"]
    with httpx.Client(timeout=60) as browser:
        page, _, run = browser.get(link).headers["location"].partition("#")
        asked = {"path": "big.bin", "run_uuid": run.split("/runs/")[1].partition("/")[0]}
        url = link.partition("/tracking/")[0] + page + "get-artifact"
        with browser.stream("GET", url, params=asked) as answer:
            got = 0
            for chunk in answer.iter_raw(1 << 20):
                if not got:
                    one.run("job", "show", name)
                got += len(chunk)
            assert (answer.status_code, got) == (200, size)
            assert "sandbox" in answer.headers["content-security-policy"]


def _peaks(one: Embedded) -> dict[str, int]:
    """The most KiB that server, MLflow and agent ever had in memory."""
    found = {}
    for pid in one.processes():
        for part in ("mayfly.main.server", "mayfly.main.mlflow", "mayfly.main.node --agent"):
            if part in command_line(pid).replace("\0", " "):
                status = Path(f"/proc/{pid}/status").read_text()
                found[part] = int(status.split("VmHWM:")[1].split()[0])
    return found
