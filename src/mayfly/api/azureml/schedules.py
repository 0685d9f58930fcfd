"""Schedules as resources: kept as they came. They do not start jobs yet, and say so."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from mayfly.api.azureml import operations
from mayfly.api.azureml.here import WS, Here, id_of
from mayfly.api.workspace import Name, user
from mayfly.services import verbatim
from mayfly.services.places import Place
from mayfly.store.azure_bodies import BodyRow
from mayfly.wire.azureml.resources import Body as Told
from mayfly.wire.azureml.resources import labels_of, properties_of, resource

_NOTE = "This server keeps schedules, but does not start their jobs yet."


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    one = f"{WS}/schedules/{{name}}"

    @routes.put(one)
    def put(
        subscription: Name, group: Name, workspace: Name, name: Name, told: Annotated[Told, Body()], request: Request
    ) -> Response:
        place = Place(subscription, group, workspace)
        row = verbatim.keep(here.world, user(request), place, "schedules", name, told)
        return operations.made(here, request, place, "schedule", name, _body(place, row))

    @routes.get(one)
    def show(subscription: Name, group: Name, workspace: Name, name: Name) -> Told:
        place = Place(subscription, group, workspace)
        return _body(place, verbatim.get(here.world, place, "schedules", name))

    @routes.get(f"{WS}/schedules")
    def listing(
        subscription: Name, group: Name, workspace: Name, request: Request, listViewType: str = "EnabledOnly"
    ) -> Told:
        place = Place(subscription, group, workspace)
        found = [_body(place, row) for row in verbatim.listing(here.world, place, "schedules")]
        wanted = {"enabledonly": (True,), "disabledonly": (False,)}.get(listViewType.lower(), (True, False))
        shown = [body for body in found if body["properties"]["isEnabled"] in wanted]
        return here.paged(request, shown, lambda body: body["name"], lambda body: body)

    @routes.delete(one)
    def delete(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Response:
        place = Place(subscription, group, workspace)
        verbatim.get(here.world, place, "schedules", name)
        verbatim.remove(here.world, place, "schedules", name)
        return operations.begun(here, request, place, "delete", name)

    return routes


def _body(place: Place, row: BodyRow) -> Told:
    said = properties_of(row.body)
    enabled = said.get("isEnabled")
    now = {
        "isEnabled": True if enabled is None else bool(enabled),
        "provisioningState": "Succeeded",
        "properties": {**labels_of(said.get("properties")), "mayfly.notes": _NOTE},
    }
    id = id_of(place, "schedules", row.name)
    return resource(id, "workspaces/schedules", {**said, **now}, by=row.created_by, at=row.created_at)
