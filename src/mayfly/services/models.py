"""Models that jobs registered in MLflow, as assets: `mayfly model list` shows them, and their content is Mayfly's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from mayfly.domain.references import AssetKind
from mayfly.kit.errors import MayflyError
from mayfly.services import artifacts, assets
from mayfly.services.assets import NewAsset
from mayfly.services.runs import AttemptContext
from mayfly.services.world import World
from mayfly.store import jobs, results, workspaces

AT_ONCE = 64 << 20
"""Bytes of a model that is taken over while its job waits; a larger one is when the job has ended."""

log = structlog.get_logger()


def adopt(world: World, attempt: AttemptContext, version: Mapping[str, Any], most: int | None = AT_ONCE) -> None:
    """Keep a version that a job registered, under its name and number; repeatable. One that cannot be kept is left to
    MLflow, where it goes on to be: the job's call has succeeded."""
    name, number = str(version.get("name", "")), str(version.get("version", ""))
    asked = {"name": name, "version": number}
    found = world.mlflow.ask(attempt.workspace, "GET", "model-versions/get-download-uri", asked)
    uri = str(found.get("artifact_uri", ""))
    if not name or not uri.startswith("mlflow-artifacts:/"):
        return

    def place_of(connection):
        row = jobs.by_id(connection, attempt.job)
        return None if row is None else workspaces.get(connection, row.workspace)

    workspace = world.store.read(place_of)
    if workspace is None or (most is not None and artifacts.size_of(world, attempt.workspace, uri) > most):
        return
    content = artifacts.logged_content(world, workspace, uri, attempt.job)
    if content is None:
        return
    tags = version.get("tags") or []
    model = NewAsset(
        kind=AssetKind.MODEL,
        name=name,
        version=number,
        type="mlflow_model",
        description=version.get("description") or None,
        tags={str(tag["key"]): str(tag["value"]) for tag in tags if "key" in tag and "value" in tag},
        tree=content.tree,
        job=attempt.job,
    )
    try:
        assets.check_names(model)
        now = world.clock.now()
        world.store.write(lambda unit: assets.keep(unit, workspace.id, attempt.submitter, model, now))
    except MayflyError as error:
        log.warning("a model stays in MLflow alone", model=name, version=number, code=error.code, words=error.message)


def adopt_all(world: World, attempt: AttemptContext) -> None:
    """Every version that the job's runs registered. Raises Unavailable `TrackingUnavailable`."""
    for run in world.store.read(lambda connection: results.runs_of(connection, attempt.job)):
        asked = {"filter": f"run_id = '{run.mlflow_run}'", "max_results": 1000}
        found = world.mlflow.ask(attempt.workspace, "GET", "model-versions/search", asked)
        for version in found.get("model_versions", ()):
            adopt(world, attempt, version, most=None)
