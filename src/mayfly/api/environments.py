"""Routes that make an environment by itself, before any job needs it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mayfly.api.workspace import WS, Name
from mayfly.services import environments
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.wire import mayfly as wire


def router(world: World) -> APIRouter:
    routes = APIRouter()

    @routes.post(f"{WS}/environments/builds")
    def build(subscription: Name, group: Name, workspace: Name, ask: wire.EnvironmentBuild) -> wire.BuildView:
        return environments.build(world, Place(subscription, group, workspace), ask)

    @routes.get(f"{WS}/environments/builds/{{digest}}")
    def show_build(
        subscription: Name, group: Name, workspace: Name, digest: Name, offset: Annotated[int, Query(ge=0)] = 0
    ) -> wire.BuildView:
        return environments.build_view(world, digest, offset)

    return routes
