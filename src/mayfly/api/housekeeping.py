"""Routes for who runs the server: its workspaces, and what may go."""

from __future__ import annotations

from fastapi import APIRouter

from mayfly.api.workspace import WS, Name
from mayfly.services import garbage, places
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.wire import mayfly as wire


def router(world: World) -> APIRouter:
    routes = APIRouter()

    @routes.post("/mayfly/v1/gc")
    def collect_garbage(ask: wire.GarbageAsk) -> wire.GarbageView:
        return garbage.collect(world, dry_run=ask.dry_run)

    @routes.get("/mayfly/v1/workspaces")
    def list_workspaces() -> list[wire.WorkspaceView]:
        return places.every(world)

    @routes.put(WS)
    def make_workspace(subscription: Name, group: Name, workspace: Name) -> wire.WorkspaceView:
        return places.make(world, Place(subscription, group, workspace))

    @routes.get(WS)
    def show_workspace(subscription: Name, group: Name, workspace: Name) -> wire.WorkspaceView:
        return places.view(world, places.find(world, Place(subscription, group, workspace)))

    return routes
