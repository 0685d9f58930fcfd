"""Routes that make an environment by itself, before any job needs it, and give up those that none needs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from mayfly.api.workspace import WS, Name, user
from mayfly.services import environments, pruning
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.wire import mayfly as wire


def router(world: World) -> APIRouter:
    routes = APIRouter()

    @routes.post(f"{WS}/environments/builds")
    def build(
        subscription: Name, group: Name, workspace: Name, ask: wire.EnvironmentBuild, request: Request
    ) -> wire.BuildView:
        return environments.build(world, user(request), Place(subscription, group, workspace), ask)

    @routes.get(f"{WS}/environments/builds/{{digest}}")
    def show_build(
        subscription: Name, group: Name, workspace: Name, digest: Name, offset: Annotated[int, Query(ge=0)] = 0
    ) -> wire.BuildView:
        return environments.build_view(world, digest, offset)

    @routes.post("/mayfly/v1/environments/prune")
    def prune(ask: wire.PruneAsk) -> wire.PruneView:
        return pruning.prune(world, days=ask.days, dry_run=ask.dry_run)

    return routes
