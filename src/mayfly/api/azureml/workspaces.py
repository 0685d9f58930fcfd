"""Workspaces as resources. One that an embedded server would make on the first write is described before it is there."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request

from mayfly.api.azureml.here import WORKSPACES, WS, Here, id_of
from mayfly.api.workspace import Name
from mayfly.kit.errors import NotFound
from mayfly.services import identities, places
from mayfly.services.places import Place
from mayfly.store import workspaces
from mayfly.store.workspaces import Workspace
from mayfly.wire.azureml.resources import PROVIDER, Body, page, resource

LOCATION = "local"


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get(WS)
    def show(subscription: Name, group: Name, workspace: Name, request: Request) -> Body:
        place = Place(subscription, group, workspace)
        base = here.base(request)
        try:
            return _body(here, base, places.find(here.world, place))
        except NotFound:
            if not here.world.embedded:
                raise
            return _body(here, base, None, place)

    @routes.get(WORKSPACES)
    def of_group(subscription: Name, group: Name, request: Request) -> Body:
        return page([one for one in _every(here, request, subscription) if f"/resourceGroups/{group}/" in one["id"]])

    @routes.get(f"/subscriptions/{{subscription}}/providers/{PROVIDER}/workspaces")
    def of_subscription(subscription: Name, request: Request) -> Body:
        return page(_every(here, request, subscription))

    return routes


def _every(here: Here, request: Request, subscription: str) -> list[Body]:
    places.find(here.world, Place(*places.DEFAULT))  # it is always there
    found = here.world.store.read(workspaces.names)
    return [_body(here, here.base(request), one) for one in found if one.subscription == subscription]


def _body(here: Here, base: str, workspace: Workspace | None, place: Place | None = None) -> Body:
    if workspace is not None:
        place = Place(workspace.subscription, workspace.resource_group, workspace.name)
    assert place is not None
    key = workspace.id if workspace is not None else str(place)
    client, principal = identities.of_workspace(place)
    identity = id_of(place).partition("/providers/")[0] + (
        f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identities.NAME}"
    )
    return resource(
        id_of(place),
        "workspaces",
        {
            "friendlyName": place.workspace,
            "description": "" if workspace is not None else "Not there yet: the first job or asset makes it.",
            "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"mayfly/{key}")),
            "tenantId": here.access.tenant,
            "discoveryUrl": f"{base}/discovery/workspaces/{key.replace('/', '.')}",
            "provisioningState": "Succeeded",
            "primaryUserAssignedIdentity": identity,
            "publicNetworkAccess": "Disabled",
            "v1LegacyMode": False,
            "hbiWorkspace": False,
        },
        at=workspace.created_at if workspace is not None else here.world.clock.now(),
        location=LOCATION,
        tags={},
        kind="Default",
        sku={"name": "Basic", "tier": "Basic"},
        identity={
            "type": "UserAssigned",
            "tenantId": here.access.tenant,
            "userAssignedIdentities": {identity: {"clientId": client, "principalId": principal}},
        },
    )
