"""Datastores as resources, and the signatures that open Mayfly's own for a while."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from mayfly.api.azureml.here import WS, Here, id_of
from mayfly.api.workspace import Name
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Forbidden, NotFound
from mayfly.services import blobs, datastores, places
from mayfly.services.datastores import DEFAULT, OWN
from mayfly.services.places import Place
from mayfly.services.signatures import Grant
from mayfly.wire import data
from mayfly.wire.azureml import datastores as wire
from mayfly.wire.azureml.resources import Body, properties_of

_HOUR_MS = 3600_000
_HOURS, _MOST_HOURS = 24, 7 * 24
_ONE = f"{WS}/datastores/{{name}}"


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get(f"{WS}/datastores")
    def listing(
        subscription: Name,
        group: Name,
        workspace: Name,
        request: Request,
        isDefault: bool = False,
        names: str = "",
        searchText: str = "",
    ) -> Body:
        place = Place(subscription, group, workspace)
        own = [_own(here, request, place, name) for name in OWN if name == DEFAULT or not isDefault]
        views = [] if isDefault else datastores.listing(here.world, place)
        found = [*own, *(_elsewhere(place, one) for one in views if _has_word(one))]
        asked = [one.strip() for one in names.split(",") if one.strip()]
        shown = [one for one in found if (not asked or one["name"] in asked) and searchText.lower() in one["name"]]
        return here.paged(request, shown, lambda body: body["name"], lambda body: body)

    @routes.get(_ONE)
    def show(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Body:
        place = Place(subscription, group, workspace)
        if datastores.own(name):
            return _own(here, request, place, name)
        view = datastores.show(here.world, place, name)
        if not _has_word(view):
            raise NotFound(
                "DatastoreTypeUnknown",
                f"'{name}' is of type {view.type}, which Azure's API has no word for.",
                remedy=f"Jobs can use it: azureml://datastores/{name}/paths/…; 'mayfly datastore show' describes it.",
            )
        return _elsewhere(place, view)

    @routes.put(_ONE)
    def create(
        subscription: Name, group: Name, workspace: Name, name: Name, body: dict[str, Any], response: Response
    ) -> Body:
        place = Place(subscription, group, workspace)
        view = datastores.create(here.world, place, wire.definition(name, properties_of(body)))
        response.status_code = 201
        return _elsewhere(place, view)

    @routes.delete(_ONE)
    def delete(subscription: Name, group: Name, workspace: Name, name: Name) -> Response:
        datastores.delete(here.world, Place(subscription, group, workspace), name)
        return Response(status_code=200)

    @routes.post(f"{_ONE}/listSecrets")
    def secrets(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        request: Request,
        body: dict[str, Any] | None = None,
    ) -> Body:
        place = Place(subscription, group, workspace)
        if not datastores.own(name):
            datastores.show(here.world, place, name)
            raise Forbidden(
                "SecretsNotShown",
                f"The credentials of '{name}' are kept and never shown again; the server uses them for jobs.",
                remedy=f"Upload to '{DEFAULT}', or with credentials of your own.",
            )
        hours = (body or {}).get("expireAfterHours")
        hours = min(max(1, hours), _MOST_HOURS) if isinstance(hours, int) else _HOURS
        owner = places.create(here.world, place)[0]
        until = Millis(here.world.clock.now() + hours * _HOUR_MS)
        grant = Grant(blobs.container_of(owner.id, name), "racwdl", until, attempt=request.scope["attempt"])
        return wire.secret(here.world.signatures.sign(grant))

    return routes


def _own(here: Here, request: Request, place: Place, name: str) -> Body:
    """Who asks where to send files is about to write: an embedded server makes the workspace now."""
    workspace = places.create(here.world, place)[0]
    host = urlsplit(here.base(request)).netloc
    container = blobs.container_of(workspace.id, name)
    return wire.own(id_of(place, "datastores", name), host, container, default=name == DEFAULT, at=workspace.created_at)


def _has_word(view: data.DatastoreView) -> bool:
    return view.type in wire.TYPES


def _elsewhere(place: Place, view: data.DatastoreView) -> Body:
    id = id_of(place, "datastores", view.name)
    definition = {"type": view.type, **view.definition}
    return wire.elsewhere(id, definition, has_credentials=view.has_credentials, at=view.created_at)
