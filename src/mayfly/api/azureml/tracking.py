"""MLflow's own API below a workspace's `mlFlowTrackingUri`, for scripts beside jobs."""

from __future__ import annotations

from collections.abc import Iterable

from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from mayfly.api.azureml.here import MLFLOW, Here
from mayfly.api.bodies import unpack
from mayfly.api.workspace import Name
from mayfly.services.places import Place

_MOST_CALLS = 8
"""At a time: the first may wait for tens of seconds until MLflow has started."""
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    calls = CapacityLimiter(_MOST_CALLS)

    @routes.api_route(f"{MLFLOW}/api/{{rest:path}}", methods=_METHODS)
    async def call(subscription: Name, group: Name, workspace: Name, rest: str, request: Request) -> Response:
        place = Place(subscription, group, workspace)
        path = f"/api/{request.scope['raw_path'].decode('latin-1').partition('/api/')[2]}"
        query = request.scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        answers: list[Response] = []

        def forward(chunks: Iterable[bytes]) -> None:
            found = here.shown.visits.forward(place, request.method, path, query, headers, chunks)
            answers.append(StreamingResponse(iter(found.body), found.status, dict(found.headers)))

        await unpack(request, forward, calls)
        return answers[0]

    return routes
