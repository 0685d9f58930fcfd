"""The one place where a failure becomes an HTTP status and a problem document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from mayfly.kit.errors import (
    Broken,
    Conflict,
    Denied,
    Fault,
    Forbidden,
    Invalid,
    MayflyError,
    NotFound,
    Refused,
    Unavailable,
)

log = structlog.get_logger()

STATUS: dict[type[MayflyError], int] = {
    Invalid: 400,
    Denied: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Refused: 422,
    Broken: 500,
    Unavailable: 503,
}

BLOB_STATUS = {
    "AuthenticationFailed": 403,
    "BlobAlreadyExists": 409,
    "CannotVerifyCopySource": 404,
    "ConditionNotMet": 412,
    "InvalidRange": 416,
    "MissingContentLengthHeader": 411,
    "NotModified": 304,
    "RequestBodyTooLarge": 413,
    "UnsupportedHttpVerb": 405,
}
"""Where Azure's blob service has a status of its own for a code."""

_AZURE = (
    "/subscriptions/",
    "/history/",
    "/data/",
    "/mferp/",
    "/registrymanagement/",
    "/genericasset/",
    "/msi/",
    "/logfiles/",
)


def status_of(error: MayflyError) -> int:
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def document(error: MayflyError) -> dict[str, Any]:
    faults = [_fault(fault) for fault in error.faults]
    head = _fault(Fault(error.code, error.message, error.pointer, error.remedy))
    return {"error": head | {"details": faults}}


def told(error: MayflyError) -> dict[str, Any]:
    """For clients that show only a code and a message: everything is in it."""
    said = [] if error.faults else [_sentence(Fault(error.code, error.message, error.pointer, error.remedy))]
    if len(error.faults) > 1:
        said = [error.message]
    said += [_sentence(fault) for fault in error.faults]
    details = [{"code": fault.code, "message": _sentence(fault), "target": fault.pointer} for fault in error.faults]
    return {"error": {"code": error.code, "message": " ".join(said), "target": error.pointer, "details": details}}


def response(error: MayflyError, path: str = "") -> JSONResponse:
    """`path`: of what was asked; doors shaped as Azure's answer in its shape."""
    status = status_of(error)
    if isinstance(error, Unavailable):
        log.warning("cannot serve now", path=path, code=error.code, why=error.message)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else None
    return _Answer(told(error) if path.startswith(_AZURE) else document(error), status, headers)


class _Answer(JSONResponse):
    """May quote what was sent, and that may hold what is no text."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


UNREADABLE = (RecursionError, UnicodeEncodeError)
"""What reading a body may raise that is no JSON for us."""


def unreadable(error: Exception) -> Invalid:
    """What to say of one of these."""
    if isinstance(error, RecursionError):
        return Invalid("RequestInvalid", "The body is nested too deeply.")
    why = "The request holds half a character (a surrogate without its other half), which is no text."
    return Invalid("TextInvalid", why, remedy="Send text as UTF-8.")


def install(app: FastAPI, trouble: Callable[[Unavailable], None]) -> None:
    """`trouble` is told what cannot be served now."""

    @app.exception_handler(MayflyError)
    async def ours(request: Request, error: MayflyError) -> JSONResponse:
        return refused(request, error)

    def refused(request: Request, error: MayflyError) -> JSONResponse:
        if isinstance(error, Unavailable):
            trouble(error)
        return response(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            Fault("RequestInvalid", str(one["msg"]), "/" + "/".join(str(part) for part in one["loc"][1:]))
            for one in error.errors()
        ]
        wrong = Invalid("RequestInvalid", "The request is not of this door's form.", faults=faults)
        return response(wrong, request.url.path)

    @app.exception_handler(RecursionError)
    @app.exception_handler(UnicodeEncodeError)
    async def misread(request: Request, error: Exception) -> JSONResponse:
        return response(unreadable(error), request.url.path)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, MayflyError):  # raised while the body was read
            return refused(request, error.__cause__)
        code = {404: "DoorNotFound", 405: "MethodNotAllowed"}.get(error.status_code, "RequestFailed")
        told = document(MayflyError(code, str(error.detail), remedy="See the doors at /openapi.json."))
        return JSONResponse(told, error.status_code, _allowed(request) if code == "MethodNotAllowed" else error.headers)


def _allowed(request: Request) -> dict[str, str]:
    """Every method of the path: the framework knows those of the first route of it alone."""
    there = [one for one in _routes(request.app.routes) if one.matches(request.scope)[0] is not Match.NONE]
    return {"Allow": ", ".join(sorted({method for one in there for method in getattr(one, "methods", None) or ()}))}


def _routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Those of routers that were included, too: newer versions of the framework keep them apart."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from (route,) if inner is None else _routes(inner.routes)


def _fault(fault: Fault) -> dict[str, Any]:
    return {"code": fault.code, "message": fault.message, "target": fault.pointer, "remedy": fault.remedy}


def _sentence(fault: Fault) -> str:
    place = f"{fault.pointer.strip('/').replace('/', '.')}: " if fault.pointer else ""
    return f"{place}{fault.message}" + (f" {fault.remedy}" if fault.remedy else "")
