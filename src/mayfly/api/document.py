"""The doors' own description, `/openapi.json`, as they are: every refusal has one shape, and every place in a path a name."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

_PLACE = re.compile(r"\{(\w+)\}")
_TEXT = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_FAULT = {
    "type": "object",
    "required": ["code", "message", "target", "remedy"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "target": _TEXT, "remedy": _TEXT},
}
_PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            **_FAULT,
            "properties": {
                **_FAULT["properties"],
                "details": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
            },
        }
    },
}
_REFUSAL = {
    "description": "A refusal: what is wrong, where, and what would help.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def install(app: FastAPI) -> None:
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _mended(plain())
        return app.openapi_schema

    app.openapi = described


def _mended(told: dict[str, Any]) -> dict[str, Any]:
    schemas = told.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)  # FastAPI's own, which these doors never answer
    schemas |= {"Fault": _FAULT, "Problem": _PROBLEM}
    for path, operations in told["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _REFUSAL
            known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            operation.setdefault("parameters", []).extend(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _PLACE.findall(path)
                if name not in known
            )
    return told
