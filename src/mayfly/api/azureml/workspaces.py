"""Workspaces as resources. One that an embedded server would make on the first write is described before it is there; what
is told of one is kept."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from mayfly.api.azureml.here import WORKSPACES, WS, Here, id_of
from mayfly.api.workspace import Name, user
from mayfly.kit.errors import NotFound
from mayfly.services import identities, places, verbatim
from mayfly.services.places import Place
from mayfly.store import workspaces
from mayfly.store.workspaces import Workspace
from mayfly.wire.azureml.resources import PROVIDER, labels_of, properties_of, resource
from mayfly.wire.azureml.resources import Body as Told

LOCATION = "local"
_COLLECTION = "workspaces"
_TO_COME = "Not there yet: the first job or asset makes it."


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get(WS)
    def show(subscription: Name, group: Name, workspace: Name, request: Request) -> Told:
        place = Place(subscription, group, workspace)
        base = here.base(request)
        try:
            return _body(here, base, places.find(here.world, place))
        except NotFound:
            if not here.world.embedded:
                raise
            return _body(here, base, None, place)

    @routes.patch(WS)
    @routes.put(WS)
    def change(
        subscription: Name, group: Name, workspace: Name, told: Annotated[Told, Body()], request: Request
    ) -> Told:
        """Its labels. An embedded server makes one that is not there."""
        place = Place(subscription, group, workspace)
        found = places.create(here.world, place)[0]
        before = verbatim.find(here.world, place, _COLLECTION, workspace)
        given = {**properties_of(before.body if before else {}), **properties_of(told)}
        tags = told.get("tags", before.body.get("tags") if before else None)
        verbatim.keep(here.world, user(request), place, _COLLECTION, workspace, {"properties": given, "tags": tags})
        return _body(here, here.base(request), found)

    @routes.get(WORKSPACES)
    def of_group(subscription: Name, group: Name, request: Request) -> Told:
        return _page(here, request, [one for one in _every(here, subscription) if one.resource_group == group])

    @routes.get(f"/subscriptions/{{subscription}}/providers/{PROVIDER}/workspaces")
    def of_subscription(subscription: Name, request: Request) -> Told:
        return _page(here, request, _every(here, subscription))

    return routes


def _page(here: Here, request: Request, found: list[Workspace]) -> Told:
    base = here.base(request)
    name = lambda one: f"{one.resource_group}/{one.name}"  # noqa: E731
    return here.paged(request, found, name, lambda one: _body(here, base, one))


def _every(here: Here, subscription: str) -> list[Workspace]:
    places.find(here.world, Place(*places.DEFAULT))  # it is always there
    return [one for one in here.world.store.read(workspaces.names) if one.subscription == subscription]


def _labels(here: Here, place: Place) -> Mapping[str, Any]:
    told = verbatim.find(here.world, place, _COLLECTION, place.workspace)
    return {} if told is None else told.body


def _body(here: Here, base: str, workspace: Workspace | None, place: Place | None = None) -> Told:
    if workspace is not None:
        place = Place(workspace.subscription, workspace.resource_group, workspace.name)
    assert place is not None
    told = _labels(here, place) if workspace is not None else {}
    said = properties_of(told)
    key = workspace.id if workspace is not None else str(place)
    client, principal = identities.of_workspace(place)
    identity = id_of(place).partition("/providers/")[0] + (
        f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identities.NAME}"
    )
    return resource(
        id_of(place),
        "workspaces",
        {
            "friendlyName": said.get("friendlyName") or place.workspace,
            "description": said.get("description") or ("" if workspace is not None else _TO_COME),
            "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"mayfly/{key}")),
            "tenantId": here.access.tenant,
            "mlFlowTrackingUri": f"{base}/mlflow{id_of(place)}",
            "discoveryUrl": f"{base}/discovery/workspaces/{key.replace('/', '.')}",
            "provisioningState": "Succeeded",
            "primaryUserAssignedIdentity": identity,
            "publicNetworkAccess": "Disabled",
            "v1LegacyMode": False,
            "hbiWorkspace": False,
        },
        at=workspace.created_at if workspace is not None else here.world.clock.now(),
        location=LOCATION,
        tags=labels_of(told.get("tags")),
        kind="Default",
        sku={"name": "Basic", "tier": "Basic"},
        identity={
            "type": "UserAssigned",
            "tenantId": here.access.tenant,
            "userAssignedIdentities": {identity: {"clientId": client, "principalId": principal}},
        },
    )
