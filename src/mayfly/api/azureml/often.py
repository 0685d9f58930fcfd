"""The calls by which the SDK submits a job whose code is there already, as straight doors: which code has this hash, that code,
the environment, the job. They do what the routes of these addresses do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from fastapi import Request
from starlette.responses import JSONResponse, Response

from mayfly.api.azureml import assets, codes, jobs
from mayfly.api.azureml.here import Here
from mayfly.api.straight import Alike, Door, is_json
from mayfly.api.workspace import LONGEST_NAME, user
from mayfly.services.codes import HASH_VERSION
from mayfly.services.places import Place
from mayfly.wire.azureml.resources import PROVIDER, Body

_WS = (
    rf"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/{re.escape(PROVIDER)}"
    r"/workspaces/(?P<workspace>[^/]+)"
)
_NAME, _VERSION = r"(?P<name>[^/]+)", r"(?P<version>[^/]+)"


def often(here: Here) -> tuple[Alike, ...]:
    def page(request: Request, place: Place, name: str) -> Body:
        asked = request.query_params
        return codes.page(here, request, place, name, asked.get("hash"), asked.get("hashVersion", HASH_VERSION))

    def code(request: Request, place: Place, name: str, version: str) -> Body:
        return codes.shown(here, request, place, name, version)

    def environment(request: Request, place: Place, told: Body, name: str, version: str) -> tuple[Body, bool]:
        return assets.kept(here, assets.ENVIRONMENTS, user(request), place, name, version, told)

    def job(request: Request, place: Place, told: Body, name: str) -> tuple[Body, bool]:
        return jobs.accepted(here, request, place, name, told)

    return (
        ("GET", re.compile(f"{_WS}/codes/{_NAME}/versions"), _reading(page)),
        ("GET", re.compile(f"{_WS}/codes/{_NAME}/versions/{_VERSION}"), _reading(code)),
        ("PUT", re.compile(f"{_WS}/environments/{_NAME}/versions/{_VERSION}"), _writing(environment)),
        ("PUT", re.compile(f"{_WS}/jobs/{_NAME}"), _writing(job)),
    )


def _reading(look: Callable[..., Body]) -> Door:
    def answer(request: Request) -> Response | None:
        names = _names(request)
        return None if names is None else JSONResponse(look(request, *names))

    async def door(request: Request) -> Response | None:
        return await to_thread.run_sync(answer, request)

    return door


def _writing(put: Callable[..., tuple[Body, bool]]) -> Door:
    def answer(request: Request, content: bytes) -> Response | None:
        names, told = _names(request), _told(content)
        if names is None or not isinstance(told, dict):
            return None
        place, *more = names
        body, created = put(request, place, told, *more)
        return JSONResponse(body, 201 if created else 200)

    async def door(request: Request) -> Response | None:
        return await to_thread.run_sync(answer, request, await request.body()) if is_json(request) else None

    return door


def _names(request: Request) -> tuple[Any, ...] | None:
    """The workspace, and what is named in it; None where a name is too long."""
    subscription, group, workspace, *more = request.path_params.values()
    if any(len(one) > LONGEST_NAME for one in request.path_params.values()):
        return None
    return Place(subscription, group, workspace), *more


def _told(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
