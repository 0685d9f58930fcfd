"""Models that were not made through MLflow, in MLflow's registry all the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mayfly.domain.references import AssetKind
from mayfly.kit.ids import Digest
from mayfly.services import assets
from mayfly.services.assets import NewAsset
from mayfly.services.attempts import speaker
from mayfly.services.mlflow import Mlflow
from mayfly.services.places import Place
from mayfly.services.submit import submit
from mayfly.testing.databases import Databases
from mayfly.testing.world import HERE, scene, tracking
from mayfly.transfer import trees
from mayfly.wire.agent import Tree, TreeEntry

JSON = [("Content-Type", "application/json")]
FILES = "/api/2.0/mlflow-artifacts/artifacts"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def stage(world, tmp_path: Path, databases: Databases):
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    return replace(stage, world=replace(stage.world, mlflow=Mlflow(world.server)))


def keep(stage, name: str, version: str | None, content: bytes = b"flavors: {}\n", **more: Any) -> str:
    """A model of two files; its version."""
    digest = Digest(hashlib.sha256(content).hexdigest())
    stage.world.content.put(digest, [content])
    entries = [TreeEntry(path=path, digest=digest, size=len(content)) for path in ("MLmodel", "data/a b.bin")]
    tree = Tree(entries=tuple(entries))
    stage.world.content.put(trees.digest_of(tree), [trees.canonical(tree)])
    model = NewAsset(AssetKind.MODEL, name, version, "mlflow_model", tree=trees.digest_of(tree), **more)
    return assets.register(stage.world, "ada", HERE, model)[0].version


def speaks(stage, place: Place = HERE) -> Ask:
    """A job of that place, calling."""
    door = tracking(stage.world)[0]
    row, _ = submit(stage.world, "ada", place, stage.submission(experiment_name="offers"))
    attempt = speaker(stage.world, row.job.id)
    assert attempt is not None

    def ask(method: str, operation: str, content: dict | None = None, query: str = "") -> tuple[int, Any]:
        body = json.dumps(content).encode() if content is not None else b""
        path = operation if operation.startswith("/") else f"/api/2.0/mlflow/{operation}"
        answer = door.forward(attempt, method, path, query, JSON, body)
        text = b"".join(answer.body)
        return answer.status, json.loads(text) if "json" in dict(answer.headers)["content-type"] else text

    return ask


def test_they_are_found_under_their_names_and_numbers_and_read(stage):
    assert [keep(stage, "grown", None, b"one"), keep(stage, "grown", None, b"two")] == ["1", "2"]
    keep(stage, "gap", "4", description="the fourth", tags={"team": "blue"})
    keep(stage, "dated", "2024.05")
    keep(stage, "far", "20240501")
    ask = speaks(stage)
    status, found = ask("GET", "registered-models/search")
    names = {one["name"] for one in found["registered_models"]}
    assert ask("GET", "model-versions/search", query="filter=name='far'") == (200, {})
    assert (status, names & {"gap", "grown", "dated"}) == (200, {"gap", "grown"})
    latest = ask("POST", "registered-models/get-latest-versions", {"name": "gap"})[1]["model_versions"]
    assert [one["version"] for one in latest] == ["4"]
    fourth = ask("GET", "model-versions/get", query="name=gap&version=4")[1]["model_version"]
    assert (fourth["description"], fourth["tags"]) == ("the fourth", [{"key": "team", "value": "blue"}])
    assert ask("GET", "model-versions/get", query="name=gap&version=3")[0] == 404
    alias = {"name": "grown", "alias": "best", "version": "2"}
    assert ask("POST", "registered-models/alias", alias)[0] == 200
    best = ask("GET", "registered-models/alias", query="name=grown&alias=best")[1]["model_version"]
    assert best["version"] == "2"

    uri = ask("GET", "model-versions/get-download-uri", query="name=grown&version=2")[1]["artifact_uri"]
    root = uri.removeprefix("mlflow-artifacts:/")
    assert ask("GET", FILES, query=f"path={root}")[1]["files"] == [
        {"path": "MLmodel", "is_dir": False, "file_size": 3},
        {"path": "data", "is_dir": True},
    ]
    assert [one["path"] for one in ask("GET", FILES, query=f"path={root}/data")[1]["files"]] == ["a b.bin"]
    assert ask("GET", f"{FILES}/{root}/data/a%20b.bin") == (200, b"two")
    assert ask("GET", f"{FILES}/{root}/none")[0] == 404
    assert ask("PUT", f"{FILES}/{root}/MLmodel")[0] == 403

    other = speaks(stage, Place("local", "local", "elsewhere"))
    assert other("GET", f"{FILES}/{root}/MLmodel")[0] == 404
    assert other("GET", "registered-models/search")[1] == {}


def test_numbers_go_on_whoever_counts(stage):
    keep(stage, "both", None)
    ask = speaks(stage)
    source = ask("GET", "model-versions/get-download-uri", query="name=both&version=1")[1]["artifact_uri"]
    copied = ask("POST", "model-versions/create", {"name": "both", "source": source})[1]["model_version"]
    assert copied["version"] == "2"
    first = assets.find(stage.world, HERE, AssetKind.MODEL, "both", version="1")
    assert assets.find(stage.world, HERE, AssetKind.MODEL, "both", version="2").tree == first.tree
    assert keep(stage, "both", None, b"third") == "3"
    again = speaks(stage)  # as after a restart
    assets.archive(stage.world, HERE, AssetKind.MODEL, "both", "3", archived=True)
    found = again("GET", "model-versions/search", query="filter=name='both'")[1]["model_versions"]
    assert sorted(one["version"] for one in found) == ["1", "2"]
    assets.archive(stage.world, HERE, AssetKind.MODEL, "both", "3", archived=False)
    found = again("GET", "model-versions/search", query="filter=name='both'")[1]["model_versions"]
    assert sorted(one["version"] for one in found) == ["1", "2", "3"]
