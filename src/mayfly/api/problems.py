"""The one place where a failure becomes an HTTP status and a problem document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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


def status_of(error: MayflyError) -> int:
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def document(error: MayflyError) -> dict[str, Any]:
    faults = [_fault(fault) for fault in error.faults]
    head = _fault(Fault(error.code, error.message, error.pointer, error.remedy))
    return {"error": head | {"details": faults}}


def response(error: MayflyError) -> JSONResponse:
    status = status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else None
    return JSONResponse(document(error), status, headers)


def install(app: FastAPI) -> None:
    @app.exception_handler(MayflyError)
    async def ours(_request: Request, error: MayflyError) -> JSONResponse:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            Fault("RequestInvalid", str(one["msg"]), "/" + "/".join(str(part) for part in one["loc"][1:]))
            for one in error.errors()
        ]
        return response(Invalid("RequestInvalid", "The request is not of this door's form.", faults=faults))

    @app.exception_handler(RecursionError)
    async def too_deep(_request: Request, _error: RecursionError) -> JSONResponse:
        return response(Invalid("RequestInvalid", "The body is nested too deeply."))

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, MayflyError):  # raised while the body was read
            return response(error.__cause__)
        code = {404: "DoorNotFound", 405: "MethodNotAllowed"}.get(error.status_code, "RequestFailed")
        return JSONResponse(
            document(MayflyError(code, str(error.detail), remedy="See the doors at /openapi.json.")), error.status_code
        )


def _fault(fault: Fault) -> dict[str, Any]:
    return {"code": fault.code, "message": fault.message, "target": fault.pointer, "remedy": fault.remedy}
