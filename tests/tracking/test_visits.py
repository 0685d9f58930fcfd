"""A person's own script beside jobs, over real rows and the real MLflow: it reads what jobs logged and writes runs of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from mayfly.api.app import build
from mayfly.domain.references import AssetKind
from mayfly.services import assets, stopping
from mayfly.services.assets import NewAsset
from mayfly.services.attempts import speaker
from mayfly.services.mlflow import Mlflow
from mayfly.services.places import Place
from mayfly.services.stopping import Stopping
from mayfly.services.submit import submit
from mayfly.testing.databases import Databases
from mayfly.testing.serving import House, Serving
from mayfly.testing.world import scene, tracking
from mayfly.transfer import trees

WS = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
JSON = [("Content-Type", "application/json")]


@pytest.fixture
def house(world, tmp_path: Path, databases: Databases):
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    stage.world = replace(stage.world, mlflow=Mlflow(world.server))
    door, pages, _ = tracking(stage.world)
    serving = Serving(
        build(stage.world, door, pages, lambda: stopping.view(stage.world), Stopping(stage.world, lambda: None))
    )
    yield House(stage, serving.url), door
    serving.close()
    stage.world.store.close()


def test_a_script_reads_what_jobs_logged_and_writes_what_is_its_own(house) -> None:
    server, door = house
    world = server.stage.world
    row, _ = submit(world, "ann", Place("sub", "rg", "ws"), server.stage.submission(experiment_name="first"))
    attempt = speaker(world, row.job.id)

    def of_job(operation: str, **content: Any) -> None:
        told = json.dumps({"run_id": row.run, **content}).encode()
        assert door.forward(attempt, "POST", f"/api/2.0/mlflow/{operation}", "", JSON, told).status == 200

    of_job("runs/log-metric", key="loss", value=0.5, timestamp=1, step=0)
    with server.client(timeout=60) as ann:
        uri = ann.get(WS).json()["properties"]["mlFlowTrackingUri"]
        assert uri == f"{server.url}/mlflow{WS}"

        def ask(method: str, operation: str, content: dict[str, Any] | None = None, **query: str) -> httpx.Response:
            return ann.request(method, f"{uri}/api/2.0/mlflow/{operation}", json=content, params=query)

        for named in (row.name, row.run):
            info = ask("GET", "runs/get", run_id=named).json()["run"]
            assert (info["info"]["run_id"], info["data"]["metrics"][0]["value"]) == (row.run, 0.5)
            assert len(ask("GET", "metrics/get-history", run_id=named, metric_key="loss").json()["metrics"]) == 1
        experiment = info["info"]["experiment_id"]
        found = ask("POST", "runs/search", {"experiment_ids": [experiment]}).json()["runs"]
        assert [one["info"]["run_id"] for one in found] == [row.run]

        metric = {"run_id": row.run, "key": "loss", "value": 9, "timestamp": 2, "step": 1}
        place = info["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        files = f"{uri}/api/2.0/mlflow-artifacts/artifacts"
        for refused in (
            ask("POST", "runs/log-metric", metric),
            ask("POST", "runs/delete", {"run_id": row.run}),
            ask("POST", "registered-models/create", {"name": "mine"}),
            ask("POST", "experiments/create", {"name": "x", "artifact_location": "/etc"}),
            ann.put(f"{files}/{place}/note.txt", content=b"x"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (403, "TrackingRefused"), refused.text

        own = ask("POST", "runs/create", {"experiment_id": experiment}).json()["run"]["info"]
        assert ask("POST", "runs/log-metric", {**metric, "run_id": own["run_id"]}).status_code == 200
        place = own["artifact_uri"].removeprefix("mlflow-artifacts:/")
        assert ann.put(f"{files}/{place}/note.txt", content=b"mine").status_code == 200
        assert ann.get(f"{files}/{place}/note.txt").content == b"mine"

        tree = trees.scan(_folder(world))
        world.content.put(next(iter(tree.files)), [b"weights"])
        world.content.put(tree.digest, [trees.canonical(tree.tree)])
        model = NewAsset(AssetKind.MODEL, "net", None, "custom_model", tree=tree.digest)
        assets.register(world, "ann", Place("sub", "rg", "ws"), model)
        version = ask("GET", "model-versions/get", name="net", version="1").json()["model_version"]
        source = version["source"].removeprefix("mlflow-artifacts:/")
        assert ann.get(f"{files}/{source}/w.bin").content == b"weights"
    with server.client(headers={}) as nobody:
        assert nobody.get(f"/mlflow{WS}/api/2.0/mlflow/runs/get?run_id={row.run}").status_code == 401


def _folder(world) -> Path:
    folder = Path(world.state_folder) / "net"
    folder.mkdir()
    (folder / "w.bin").write_bytes(b"weights")
    return folder
