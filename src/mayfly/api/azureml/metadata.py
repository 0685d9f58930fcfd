"""How a client finds this server: the cloud's description, which the SDK asks for before nearly every call, and a workspace's
services."""

from __future__ import annotations

import json
from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mayfly.api.azureml.here import Here
from mayfly.wire.azureml import cloud

PATH = "/metadata/endpoints"
_MOST_ADDRESSES = 100


class Metadata:
    """Answers for the cloud's description before anything else is looked at; all else goes on to `app`. Everybody may ask."""

    def __init__(self, app: ASGIApp, base: Callable[[Request], str]) -> None:
        """`base`: the address that a caller may go on with."""
        self._app = app
        self._base = base
        self._kept: dict[tuple[str, bytes], Response] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/") == PATH and scope["method"] == "GET":
            await self._answer(scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        found = self._kept.get((scope["scheme"], host))
        if found is None:
            content = json.dumps(cloud.metadata(self._base(Request(scope)))).encode()
            found = Response(content, media_type="application/json")
            if len(self._kept) >= _MOST_ADDRESSES:
                self._kept.clear()
            self._kept[scope["scheme"], host] = found
        return found


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get("/discovery/workspaces/{workspace}")
    async def services(workspace: str, request: Request) -> dict:
        return cloud.services(here.base(request))

    return routes
