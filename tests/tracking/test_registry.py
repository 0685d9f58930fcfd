"""Models, `runs:/` addresses and workspaces, over real rows and the real MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Invalid, NotFound
from mayfly.services import artifacts, assets, places
from mayfly.services.attempts import speaker
from mayfly.services.mlflow import Mlflow
from mayfly.services.places import Place
from mayfly.services.submit import submit
from mayfly.testing.databases import Databases
from mayfly.testing.world import HERE, scene, tracking

JSON = [("Content-Type", "application/json")]


def test_what_a_job_keeps_and_registers_is_its_workspaces_own(world, tmp_path: Path, databases: Databases):
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    home = replace(stage.world, mlflow=Mlflow(world.server))
    door, _, _ = tracking(home)
    elsewhere = Place("local", "local", "elsewhere")

    def job(place: Place):
        row, _ = submit(home, "ada", place, stage.submission(experiment_name="registry"))
        attempt = speaker(home, row.job.id)
        assert attempt is not None

        def ask(method: str, operation: str, content: dict | None = None, query: str = "") -> tuple[int, dict]:
            body = json.dumps(content).encode() if content is not None else b""
            answer = door.forward(attempt, method, f"/api/2.0/mlflow/{operation}", query, JSON, body)
            return answer.status, json.loads(b"".join(answer.body) or b"{}")

        return row, attempt, ask

    row, attempt, ask = job(HERE)
    root = ask("GET", "artifacts/list", query=f"run_id={row.run}")[1]["root_uri"]
    path = "/api/2.0/mlflow-artifacts/artifacts/" + root.removeprefix("mlflow-artifacts:/") + "/clf/MLmodel"
    assert door.forward(attempt, "PUT", path, body=b"flavors: {}\n").status == 200

    workspace = places.find(home, HERE)
    by_run = artifacts.resolve(home, workspace, f"runs:/{row.run}/clf")
    assert (by_run.is_file, by_run.files, by_run.bytes, by_run.job) == (False, 1, 12, row.job.id)
    assert artifacts.resolve(home, workspace, f"runs:/{row.name}/clf/MLmodel").is_file
    with pytest.raises(NotFound, match="nothing at 'other'"):
        artifacts.resolve(home, workspace, f"runs:/{row.run}/other")
    for bad in ("runs:/", f"runs:/{row.run}/../x", "run:/x/y"):
        with pytest.raises(Invalid):
            artifacts.resolve(home, workspace, bad)

    assert ask("POST", "registered-models/create", {"name": "clf"})[0] == 200
    version = {"name": "clf", "source": f"{root}/clf", "run_id": row.run}
    assert ask("POST", "model-versions/create", version)[1]["model_version"]["run_id"] == row.run
    kept = assets.find(home, HERE, AssetKind.MODEL, "clf", version="1")
    assert (kept.type, kept.tree, kept.job) == ("mlflow_model", by_run.tree, row.job.id)

    _, _, other = job(elsewhere)
    assert other("GET", "registered-models/get", query="name=clf")[0] == 404
    assert other("GET", "runs/get", query=f"run_id={row.run}")[0] == 404
    mine = ask("GET", "experiments/get-by-name", query="experiment_name=registry")[1]["experiment"]
    theirs = other("GET", "experiments/get-by-name", query="experiment_name=registry")[1]["experiment"]
    assert mine["experiment_id"] != theirs["experiment_id"]
    with pytest.raises(NotFound):
        artifacts.resolve(home, places.find(home, elsewhere), f"runs:/{row.run}/clf")
