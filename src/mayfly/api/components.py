"""The route that registers a component; lists and labels are those of all assets (`api.assets`)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mayfly.api.workspace import WS, Name, user
from mayfly.services import assets, components
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.wire import assets as shapes
from mayfly.wire import mayfly as wire


def router(world: World) -> APIRouter:
    routes = APIRouter()

    @routes.post(f"{WS}/components", status_code=201, responses={200: {"model": shapes.AssetView}})
    def create(
        subscription: Name, group: Name, workspace: Name, ask: wire.Submission, request: Request, response: Response
    ) -> shapes.AssetView:
        row, created = components.create(world, user(request), Place(subscription, group, workspace), ask)
        response.status_code = 201 if created else 200
        return assets.view(row)

    return routes
