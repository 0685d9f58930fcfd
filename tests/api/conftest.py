from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.storage.blob import ContainerClient
from blob_clients import client

from mayfly.api.app import build
from mayfly.services import stopping
from mayfly.services.stopping import Stopping
from mayfly.store.sanity import sanity_check
from mayfly.testing.databases import Databases
from mayfly.testing.serving import House, Serving
from mayfly.testing.world import scene, tracking


@pytest.fixture
def house(tmp_path: Path, databases: Databases) -> Iterator[House]:
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    world = stage.world
    door, pages, _ = tracking(world)
    app = build(world, door, pages, lambda: stopping.view(world), Stopping(world, lambda: None))
    serving = Serving(app)
    yield House(stage, serving.url)
    serving.close()
    broken = world.store.read(sanity_check)
    world.store.close()
    assert broken == []


@pytest.fixture
def ann(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        yield client


@pytest.fixture
def container(house: House) -> Iterator[ContainerClient]:
    with client(house) as found:
        yield found
