"""Computes as resources: serverless, and named clusters that stand for it with a size and tier of their own; sizes, usage
and quota."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import JSONResponse

from mayfly.api.azureml import operations
from mayfly.api.azureml.here import WS, Here, id_of
from mayfly.api.azureml.workspaces import LOCATION
from mayfly.api.workspace import Name, user
from mayfly.kit.errors import Conflict, Invalid
from mayfly.services import quotas, verbatim
from mayfly.services.places import DEFAULT, Place
from mayfly.wire.azureml.resources import PROVIDER, properties_of, resource
from mayfly.wire.azureml.resources import Body as Told
from mayfly.wire.mayfly import QuotaUpdate

SERVERLESS = "serverless"
_BY_ITSELF = ("", SERVERLESS, "local")
_LOCATION = f"/subscriptions/{{subscription}}/providers/{PROVIDER}/locations/{{location}}"


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    one = f"{WS}/computes/{{name}}"

    @routes.get(f"{WS}/computes")
    def listing(
        subscription: Name,
        group: Name,
        workspace: Name,
        request: Request,
        kind: Annotated[str, Query(alias="computeType")] = "",
    ) -> Told:
        place = Place(subscription, group, workspace)
        found = [
            one for one in verbatim.listing(here.world, place, "computes") if kind.lower() in ("", _kind(one.body))
        ]
        return here.paged(request, found, lambda row: row.name, lambda row: _body(place, row.name, row.body))

    @routes.get(one)
    def show(subscription: Name, group: Name, workspace: Name, name: Name) -> Told:
        place = Place(subscription, group, workspace)
        if name.lower() == SERVERLESS:
            return _body(place, SERVERLESS, {"properties": {"computeType": "AmlCompute", "properties": {}}})
        return _body(place, name, verbatim.get(here.world, place, "computes", name).body)

    @routes.put(one)
    def create(
        subscription: Name, group: Name, workspace: Name, name: Name, told: Annotated[Told, Body()], request: Request
    ) -> Response:
        place = Place(subscription, group, workspace)
        _check(here, name, properties_of(told))
        verbatim.keep(here.world, user(request), place, "computes", name, told)
        return operations.made(here, request, place, "compute", name, _body(place, name, told))

    @routes.delete(one)
    def delete(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Response:
        place = Place(subscription, group, workspace)
        verbatim.get(here.world, place, "computes", name)
        verbatim.remove(here.world, place, "computes", name)
        return operations.begun(here, request, place, "delete", name)

    @routes.post(f"{one}/listNodes")
    def nodes(subscription: Name, group: Name, workspace: Name, name: Name) -> Told:
        """A cluster has none of its own: the nodes of its jobs come and go with them."""
        verbatim.get(here.world, Place(subscription, group, workspace), "computes", name)
        return {"nodes": []}

    _amounts(routes, here)
    return routes


def _amounts(routes: APIRouter, here: Here) -> None:
    @routes.get(f"{_LOCATION}/vmSizes")
    def sizes(subscription: Name, location: Name) -> Told:
        return {"value": [_size(one) for one in quotas.sizes(here.world, Place(*DEFAULT)) if not one.retired]}

    @routes.get(f"{_LOCATION}/usages")
    def usages(subscription: Name, location: Name) -> Told:
        found = quotas.quotas(here.world, Place(*DEFAULT))
        return {"value": [_amount(subscription, one, "usages") for one in found if one.scope == "subscription"]}

    @routes.get(f"{_LOCATION}/quotas")
    def limits(subscription: Name, location: Name) -> Told:
        found = quotas.quotas(here.world, Place(*DEFAULT))
        return {"value": [_amount(subscription, one, "quotas") for one in found if one.scope == "subscription"]}

    @routes.post(f"{_LOCATION}/updateQuotas")
    def update(subscription: Name, location: Name, told: Annotated[Told, Body()]) -> JSONResponse:
        changed = []
        for one in told.get("value") or ():
            family = str(one.get("id") or one.get("type") or "").rstrip("/").rpartition("/")[2]
            limit = one.get("limit")
            if not isinstance(limit, int) or limit < 0:
                raise Invalid("LimitInvalid", f"The limit of '{family}' is a number of vCPUs, 0 or more.")
            quotas.update(here.world, Place(*DEFAULT), QuotaUpdate(family=family, limit=limit))
            changed.append({"id": one.get("id"), "limit": limit, "status": "Success", "unit": "Count"})
        return JSONResponse({"value": changed})


def alias(here: Here, place: Place, name: str) -> dict[str, Any] | None:
    """What a job gets that names this compute: `size` and `spot`; None where it is not known."""
    row = None if name in _BY_ITSELF else verbatim.find(here.world, place, "computes", name)
    if row is None:
        return None
    own = _own(row.body)
    return {"size": own.get("vmSize"), "spot": str(own.get("vmPriority", "")).lower() == "lowpriority"}


def _check(here: Here, name: str, said: Mapping[str, Any]) -> None:
    kind = str(said.get("computeType", ""))
    if name.lower() in _BY_ITSELF:
        raise Conflict("ComputeNameTaken", f"'{name}' is there by itself and cannot be made.")
    if kind.lower() != "amlcompute":
        raise Invalid(
            "ComputeTypeNotSupported",
            f"Computes of type {kind or 'nothing'} cannot be made here.",
            remedy="Make an AmlCompute, or leave compute out: jobs are then serverless.",
        )
    size = str(_own({"properties": said}).get("vmSize") or "")
    if size and size.lower() not in here.world.sizes:
        raise Invalid("SizeUnknown", f"There is no size '{size}'.", remedy="`mayfly compute list-sizes` shows them.")


def _kind(body: Mapping[str, Any]) -> str:
    return str(properties_of(body).get("computeType", "")).lower()


def _own(body: Mapping[str, Any]) -> dict[str, Any]:
    return properties_of(properties_of(body))


def _body(place: Place, name: str, told: Mapping[str, Any]) -> Told:
    said = properties_of(told)
    now = {
        "computeLocation": LOCATION,
        "provisioningState": "Succeeded",
        "isAttachedCompute": False,
        "properties": {"allocationState": "Steady", "currentNodeCount": 0, "targetNodeCount": 0, **_own(told)},
    }
    more = {key: told[key] for key in ("tags", "identity", "sku") if told.get(key) is not None}
    return resource(id_of(place, "computes", name), "workspaces/computes", {**said, **now}, location=LOCATION, **more)


def _size(one: Any) -> Told:
    return {
        "name": one.name,
        "family": one.family,
        "vCPUs": one.vcpus,
        "gpus": one.gpus,
        "osVhdSizeMB": 131072,
        "maxResourceVolumeMB": int(one.disk_gib * 1024),
        "memoryGB": one.memory_gib,
        "lowPriorityCapable": one.spot_usd_per_hour is not None,
        "premiumIO": True,
        "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
    }


def _amount(subscription: str, one: Any, word: str) -> Told:
    id = f"/subscriptions/{subscription}/providers/{PROVIDER}/locations/{LOCATION}/{word}/{one.family}"
    name = {"value": one.family, "localizedValue": f"{one.family} ({one.tier})"}
    return {
        "id": id,
        "type": f"{PROVIDER}/{word}",
        "unit": "Count",
        "currentValue": one.held,
        "limit": one.limit,
        "name": name,
    }
