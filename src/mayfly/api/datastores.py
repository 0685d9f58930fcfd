"""Routes to datastores and lineage: the doors of `wire.data`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mayfly.api.assets import AssetName
from mayfly.api.workspace import WS, Name
from mayfly.domain.references import AssetKind
from mayfly.services import datastores, lineages
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.wire import data as wire


def router(world: World) -> APIRouter:
    routes = APIRouter()

    @routes.get(f"{WS}/datastores")
    def list_datastores(subscription: Name, group: Name, workspace: Name) -> list[wire.DatastoreView]:
        return datastores.listing(world, Place(subscription, group, workspace))

    @routes.post(f"{WS}/datastores")
    def create_datastore(
        subscription: Name, group: Name, workspace: Name, ask: wire.DatastoreNew
    ) -> wire.DatastoreView:
        return datastores.create(world, Place(subscription, group, workspace), ask.definition)

    @routes.get(f"{WS}/datastores/{{name}}")
    def show_datastore(subscription: Name, group: Name, workspace: Name, name: Name) -> wire.DatastoreView:
        return datastores.show(world, Place(subscription, group, workspace), name)

    @routes.delete(f"{WS}/datastores/{{name}}")
    def delete_datastore(subscription: Name, group: Name, workspace: Name, name: Name) -> dict[str, Any]:
        datastores.delete(world, Place(subscription, group, workspace), name)
        return {}

    @routes.get(f"{WS}/jobs/{{name}}/lineage")
    def job_lineage(subscription: Name, group: Name, workspace: Name, name: Name) -> list[wire.LinkView]:
        return lineages.of_job(world, Place(subscription, group, workspace), name)

    @routes.get(f"{WS}/assets/{{kind}}/{{name}}/lineage")
    def asset_lineage(
        subscription: Name,
        group: Name,
        workspace: Name,
        kind: AssetKind,
        name: AssetName,
        version: str | None = None,
    ) -> list[wire.LinkView]:
        return lineages.of_asset(world, Place(subscription, group, workspace), kind, name, version)

    return routes
