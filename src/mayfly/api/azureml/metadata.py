"""How a client finds this server: the cloud's description, asked before nearly every call, and a workspace's services."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response

from mayfly.api.azureml.here import Here
from mayfly.wire.azureml import cloud


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    kept: dict[str, bytes] = {}

    @routes.get("/metadata/endpoints")
    async def endpoints(request: Request) -> Response:
        base = here.base(request)
        if base not in kept:
            kept.clear()
            kept[base] = json.dumps(cloud.metadata(base)).encode()
        return Response(kept[base], media_type="application/json")

    @routes.get("/discovery/workspaces/{workspace}")
    async def services(workspace: str, request: Request) -> dict:
        return cloud.services(here.base(request))

    return routes
