"""Routes of `/tracking`: MLflow's pages, for browsers that came by a link from the command line."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from mayfly.kit.errors import Forbidden
from mayfly.services.pages import COOKIE, PREFIX, Pages


def router(pages: Pages) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)

    @routes.get("/open/{ticket}")
    def enter(ticket: str) -> Response:
        token, path, target = pages.enter(ticket)
        answer = Response(
            status_code=303,
            headers={"Location": target, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
        )
        answer.set_cookie(COOKIE, token, path=path, httponly=True, samesite="strict")
        return answer

    @routes.api_route("/{workspace}/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def page(workspace: str, rest: str, request: Request) -> Response:
        _same_origin(request)
        query = request.scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        body = await request.body()
        found = await to_thread.run_sync(
            pages.ask, request.scope["principal"], workspace, request.method, rest, query, headers, body
        )
        return StreamingResponse(
            iter(found.body),
            found.status,
            {**dict(found.headers), "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"},
        )

    return routes


def _same_origin(request: Request) -> None:
    """A page of another origin may not ask through the browser of who is signed in here."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    foreign = (origin is not None and origin != own) or site in ("cross-site", "same-site")
    if foreign and not (request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"):
        raise Forbidden("OriginForeign", "This was asked by a page of another origin.")
