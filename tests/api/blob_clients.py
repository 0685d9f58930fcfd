"""Clients of the blob doors, and signatures for them."""

from __future__ import annotations

from azure.storage.blob import ContainerClient

from mayfly.kit.clock import Millis
from mayfly.services import blobs, places
from mayfly.services.signatures import Grant
from mayfly.testing.serving import House
from mayfly.testing.world import HERE

ACCOUNT = "mayfly.blob.mayfly.internal"


def workspace(house: House) -> str:
    return places.find(house.stage.world, HERE).id


def container_name(house: House, datastore: str = "workspaceblobstore") -> str:
    return blobs.container_of(workspace(house), datastore)


def signed(house: House, allowed: str = "racwdl", *, folder: str = "", blob: str = "", name: str = "") -> str:
    world = house.stage.world
    until = Millis(world.clock.now() + 3600_000)
    return world.signatures.sign(Grant(name or container_name(house), allowed, until, folder, blob))


def client(house: House, sas: str | None = None, *, name: str = "", form: str = f"/{ACCOUNT}") -> ContainerClient:
    return ContainerClient(
        f"{house.url}{form}", name or container_name(house), sas or signed(house, name=name), retry_total=0
    )
