from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mayfly.api.app import build
from mayfly.drivers.mlflow_server import MlflowServer
from mayfly.services import stopping
from mayfly.services.attempts import speaker
from mayfly.services.feeding import Feeder
from mayfly.services.mlflow import Mlflow
from mayfly.services.runs import Runs
from mayfly.services.stopping import Stopping
from mayfly.services.tracking import TrackingDoor
from mayfly.store.sanity import sanity_check
from mayfly.store.tracking import StoredTracking
from mayfly.testing.databases import Databases
from mayfly.testing.serving import House, Serving
from mayfly.testing.world import scene


@pytest.fixture
def house(tmp_path: Path, databases: Databases) -> Iterator[House]:
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    world = stage.world
    mlflow = MlflowServer(tmp_path / "mlflow")
    tools, rows = Mlflow(mlflow), StoredTracking(world.store)
    runs = Runs(tools, rows, world.clock)
    feeder = Feeder(tools, rows, runs, lambda job: speaker(world, job))
    tracking = TrackingDoor(tools, rows, runs, feeder, lambda attempt, version: None)
    app = build(world, tracking, lambda: stopping.view(world), Stopping(world, lambda: None))
    serving = Serving(app)
    yield House(stage, serving.url)
    serving.close()
    mlflow.close()
    broken = world.store.read(sanity_check)
    world.store.close()
    assert broken == []


@pytest.fixture
def ann(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        yield client
