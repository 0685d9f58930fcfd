"""Routes to assets: the doors of `wire.assets`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from mayfly.api.workspace import WS, Name, user
from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Invalid
from mayfly.services import assets, registered, registering
from mayfly.services.assets import NewAsset
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store.assets import Which
from mayfly.wire import assets as wire

_KIND = f"{WS}/assets/{{kind}}"
_NAME = f"{_KIND}/{{name}}"

AssetName = Annotated[str, Path(max_length=255)]
Limit = Annotated[int, Query(ge=1, le=1000)]


def router(world: World) -> APIRouter:
    routes = APIRouter()

    @routes.get(_KIND)
    def list_assets(
        subscription: Name,
        group: Name,
        workspace: Name,
        kind: AssetKind,
        limit: Limit = 100,
        after: str | None = None,
        which: Which = "active",
    ) -> wire.AssetPage:
        return assets.page(world, Place(subscription, group, workspace), kind, limit, after, which)

    @routes.post(_KIND, status_code=201, responses={200: {"model": wire.AssetView}})
    def register(
        subscription: Name,
        group: Name,
        workspace: Name,
        kind: AssetKind,
        ask: wire.AssetNew,
        request: Request,
        response: Response,
    ) -> wire.AssetView:
        if kind is AssetKind.COMPONENT:
            raise Invalid("DoorWrong", "A component is registered by the workspace's door 'components'.")
        place = Place(subscription, group, workspace)
        if kind is AssetKind.ENVIRONMENT:
            row, created = registered.register(world, user(request), place, _environment(ask))
        else:
            row, created = registering.register(world, user(request), place, kind, ask)
        response.status_code = 201 if created else 200
        return assets.view(row)

    @routes.get(_NAME)
    def list_versions(
        subscription: Name,
        group: Name,
        workspace: Name,
        kind: AssetKind,
        name: AssetName,
        limit: Limit = 100,
        after: str | None = None,
        which: Which = "active",
    ) -> wire.AssetPage:
        return assets.version_page(world, Place(subscription, group, workspace), kind, name, limit, after, which)

    @routes.get(f"{_NAME}/versions/{{version}}")
    def show_version(
        subscription: Name, group: Name, workspace: Name, kind: AssetKind, name: AssetName, version: AssetName
    ) -> wire.AssetView:
        return assets.view(assets.find(world, Place(subscription, group, workspace), kind, name, version=version))

    @routes.get(f"{_NAME}/labels/{{label}}")
    def show_label(
        subscription: Name, group: Name, workspace: Name, kind: AssetKind, name: AssetName, label: AssetName
    ) -> wire.AssetView:
        return assets.view(assets.find(world, Place(subscription, group, workspace), kind, name, label=label))

    @routes.post(f"{_NAME}/archive")
    def archive(
        subscription: Name, group: Name, workspace: Name, kind: AssetKind, name: AssetName, ask: wire.ArchiveAsk
    ) -> list[wire.AssetView]:
        place = Place(subscription, group, workspace)
        return assets.archive(world, place, kind, name, ask.version, archived=True)

    @routes.post(f"{_NAME}/restore")
    def restore(
        subscription: Name, group: Name, workspace: Name, kind: AssetKind, name: AssetName, ask: wire.ArchiveAsk
    ) -> list[wire.AssetView]:
        place = Place(subscription, group, workspace)
        return assets.archive(world, place, kind, name, ask.version, archived=False)

    return routes


def _environment(ask: wire.AssetNew) -> NewAsset:
    return NewAsset(
        kind=AssetKind.ENVIRONMENT,
        name=ask.name,
        version=ask.version,
        type=AssetKind.ENVIRONMENT.value,
        definition=ask.definition,
        description=ask.description,
        tags=ask.tags,
        properties=ask.properties,
        tree=ask.upload,
    )
