"""Doors shaped as Azure's, for its unmodified SDK. Each turns a body into the language of job files, or back, and calls the
same service that our own doors call. Any api-version is taken, and one shape is answered."""

from __future__ import annotations

from fastapi import APIRouter

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


def router(here: Here) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
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
    for module in modules:
        routes.include_router(module.router(here))
    return routes
