"""Models that jobs registered in MLflow, as assets: `mayfly model list` shows them, and their content is Mayfly's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from mayfly.domain.references import AssetKind
from mayfly.kit.errors import MayflyError
from mayfly.kit.ids import WorkspaceId
from mayfly.services import artifacts, assets
from mayfly.services.assets import NewAsset
from mayfly.services.runs import AttemptContext
from mayfly.services.world import World
from mayfly.store import assets as store_assets
from mayfly.store import jobs, results, workspaces
from mayfly.store.assets import AssetRow

OFFERED = "mayfly-models:/"
"""Where MLflow is told that models lie that Mayfly offers to it (`offers`); the asset's sequence follows."""
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
    if not name or not uri.startswith(("mlflow-artifacts:/", OFFERED)):
        return

    def place_of(connection):
        row = jobs.by_id(connection, attempt.job)
        return None if row is None else workspaces.get(connection, row.workspace)

    workspace = world.store.read(place_of)
    if workspace is None:
        return
    source = offered(world, workspace.id, uri)
    if source is not None and (source.name, source.version) == (name, number):
        return
    tree = source.tree if source is not None else None
    if tree is None:
        if most is not None and artifacts.size_of(world, attempt.workspace, uri) > most:
            return
        content = artifacts.logged_content(world, workspace, uri, attempt.job)
        tree = content.tree if content is not None else None
    if tree is None:
        return
    tags = version.get("tags") or []
    model = NewAsset(
        kind=AssetKind.MODEL,
        name=name,
        version=number,
        type=source.type if source is not None else "mlflow_model",
        description=version.get("description") or None,
        tags={str(tag["key"]): str(tag["value"]) for tag in tags if "key" in tag and "value" in tag},
        tree=tree,
        is_file=source is not None and source.is_file,
        job=attempt.job,
    )
    try:
        assets.check_names(model)
        now = world.clock.now()
        world.store.write(lambda unit: assets.keep(unit, workspace.id, attempt.submitter, model, now))
    except MayflyError as error:
        log.warning("a model stays in MLflow alone", model=name, version=number, code=error.code, words=error.message)


def offered(world: World, workspace: WorkspaceId, uri: str) -> AssetRow | None:
    """The model of this workspace that lies there."""
    number = uri.removeprefix(OFFERED)
    if number == uri or not number.isascii() or not number.isdecimal():
        return None
    row = world.store.read(lambda connection: store_assets.at(connection, int(number)))
    return row if row is not None and (row.workspace, row.kind) == (workspace, AssetKind.MODEL) else None


def adopt_all(world: World, attempt: AttemptContext) -> None:
    """Every version that the job's runs registered. Raises Unavailable `TrackingUnavailable`."""
    for run in world.store.read(lambda connection: results.runs_of(connection, attempt.job)):
        asked = {"filter": f"run_id = '{run.mlflow_run}'", "max_results": 1000}
        found = world.mlflow.ask(attempt.workspace, "GET", "model-versions/search", asked)
        for version in found.get("model_versions", ()):
            adopt(world, attempt, version, most=None)
