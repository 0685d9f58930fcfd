"""Long-running operations, as Azure's clients wait for them: by `Location`, or by `Azure-AsyncOperation`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from mayfly.api.azureml.here import WS, Here, id_of
from mayfly.api.workspace import Name
from mayfly.services import jobs
from mayfly.services.places import Place


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get(f"{WS}/operations/{{operation}}")
    def show(subscription: Name, group: Name, workspace: Name, operation: Name, request: Request) -> Response:
        place = Place(subscription, group, workspace)
        kind, _, name = operation.partition("-")
        told: dict[str, Any] = {"id": id_of(place, "operations", operation), "name": operation}
        if kind == "cancel" and not jobs.find(here.world, place, name).job.state.terminal:
            headers = {"Location": _address(here, request, place, operation), "Retry-After": "1"}
            return JSONResponse({**told, "status": "InProgress"}, 202, headers)
        return JSONResponse({**told, "status": "Succeeded"})

    return routes


def begun(here: Here, request: Request, place: Place, kind: str, name: str) -> Response:
    """For what ends without a body."""
    headers = {"Location": _address(here, request, place, f"{kind}-{name}"), "Retry-After": "0"}
    return Response(status_code=202, headers=headers)


def made(here: Here, request: Request, place: Place, kind: str, name: str, body: dict[str, Any]) -> Response:
    """For what makes a resource: the resource is there, and older clients look at the operation first."""
    address = _address(here, request, place, f"{kind}-{name}")
    return JSONResponse(body, 201, {"Azure-AsyncOperation": address, "Retry-After": "0"})


def _address(here: Here, request: Request, place: Place, operation: str) -> str:
    version = request.query_params.get("api-version", "2024-10-01")
    return f"{here.base(request)}{id_of(place, 'operations', operation)}?api-version={version}"
