from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.storage.blob import ContainerClient
from blob_clients import client

from mayfly.api.app import build
from mayfly.services import stopping
from mayfly.services.stopping import Stopping
from mayfly.spec.settings import Settings
from mayfly.store.sanity import sanity_check
from mayfly.testing.databases import Databases
from mayfly.testing.serving import House, Serving
from mayfly.testing.world import scene, tracking


@pytest.fixture
def house(tmp_path: Path, databases: Databases) -> Iterator[House]:
    yield from _house(tmp_path, databases)


@pytest.fixture
def narrow_house(tmp_path: Path, databases: Databases) -> Iterator[House]:
    """Its collections shaped as Azure's show two at a time, and the folders below `registries` are its registries."""
    yield from _house(tmp_path, databases, page=2)


def _house(tmp_path: Path, databases: Databases, **how: int) -> Iterator[House]:
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    folders = tmp_path / "registries"
    known = lambda: {one.name: str(one) for one in folders.glob("*")}  # noqa: E731
    world = stage.world = dataclasses.replace(stage.world, settings=lambda: Settings(registries=known()))
    door, pages, _ = tracking(world)
    app = build(world, door, pages, lambda: stopping.view(world), Stopping(world, lambda: None), **how)
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
