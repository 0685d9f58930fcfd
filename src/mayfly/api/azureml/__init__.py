"""Doors shaped as Azure's, for its unmodified SDK. Each turns a body into the language of job files, or back, and calls the
same service that our own doors call. Any api-version is taken, and one shape is answered."""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from mayfly.api.azureml import (
    assets,
    codes,
    computes,
    datastores,
    history,
    identity,
    jobs,
    metadata,
    operations,
    refused,
    registries,
    schedules,
    tracking,
    workspaces,
)
from mayfly.api.azureml.here import Here
from mayfly.api.azureml.often import often

__all__ = ["often", "routes"]


def routes(here: Here) -> list[BaseRoute]:
    """In no document of ours."""
    modules = (
        metadata,
        identity,
        workspaces,
        jobs,
        history,
        operations,
        assets,
        datastores,
        codes,
        computes,
        schedules,
        registries,
        tracking,
        refused,
    )
    found = [route for module in modules for route in module.router(here).routes]
    for route in found:
        if isinstance(route, APIRoute):
            route.include_in_schema = False
    return found
