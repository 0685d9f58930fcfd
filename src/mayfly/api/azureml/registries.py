"""Registries as the SDK reads them: found by their name, and what is in them; the curated environments are one's, `azureml`."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import APIRouter, Request

from mayfly.api.azureml.here import Here
from mayfly.api.azureml.workspaces import LOCATION
from mayfly.api.workspace import Name
from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Invalid, NotFound
from mayfly.services import registries
from mayfly.services.registries import Entry
from mayfly.wire.azureml.resources import PROVIDER, Body, labels_of, page, resource

_MFE = "/mferp/managementfrontend"
"""What the SDK writes behind the address that discovery gives it."""
_OWNER = "registries"
"""Subscription and group of every registry: clients want to be told some."""
_ONE = f"{_MFE}/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/registries/{{registry}}"
_KINDS = {
    "environments": AssetKind.ENVIRONMENT,
    "components": AssetKind.COMPONENT,
    "models": AssetKind.MODEL,
    "data": AssetKind.DATA,
}


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get("/registrymanagement/v1.0/registries/{registry}/discovery")
    def discovery(registry: Name, request: Request) -> Body:
        registries.check(here.world, registry)
        return {
            "registryName": registry,
            "tenantId": here.access.tenant,
            "primaryRegion": LOCATION,
            "regions": [LOCATION],
            "subscriptionId": _OWNER,
            "resourceGroup": _OWNER,
            "primaryRegionResourceProviderUri": f"{here.base(request)}/",
        }

    @routes.get(f"{_ONE}/{{collection}}")
    def names(registry: Name, collection: Name) -> Body:
        found: dict[str, list[Entry]] = {}
        for one in _entries(here, registry, collection):
            found.setdefault(one.name, []).append(one)
        return page([_name(registry, collection, versions) for versions in found.values()])

    @routes.get(f"{_ONE}/{{collection}}/{{name}}")
    def name(registry: Name, collection: Name, name: Name) -> Body:
        return _name(registry, collection, _versions(here, registry, collection, name))

    @routes.get(f"{_ONE}/{{collection}}/{{name}}/versions")
    def versions(registry: Name, collection: Name, name: Name) -> Body:
        found = reversed(_versions(here, registry, collection, name))
        return page([_version(registry, collection, one) for one in found])

    @routes.get(f"{_ONE}/{{collection}}/{{name}}/versions/{{version}}")
    def version(registry: Name, collection: Name, name: Name, version: Name) -> Body:
        found = {one.version: one for one in _versions(here, registry, collection, name)}
        if version not in found:
            raise NotFound(
                "RegistryAssetNotFound",
                f"The registry '{registry}' has no version {version} of '{name}'.",
                remedy=f"It has the versions {', '.join(found)}.",
            )
        return _version(registry, collection, found[version])

    @routes.put(f"{_ONE}/{{rest:path}}")
    def put(registry: Name, rest: str) -> Body:
        raise Invalid(
            "RegistryReadOnly",
            f"The registry '{registry}' is a folder of this server's machine, and is only read here.",
            remedy="Put the asset's file into that folder: 'mayfly registry list' shows where it is.",
        )

    return routes


def _entries(here: Here, registry: str, collection: str) -> list[Entry]:
    kind = _KINDS.get(collection)
    if kind is None:
        raise NotFound("ResourceNotFound", f"Registries have no {collection}.")
    return registries.entries(here.world, registry, kind)


def _versions(here: Here, registry: str, collection: str, name: str) -> list[Entry]:
    """The newest last."""
    found = [one for one in _entries(here, registry, collection) if one.name == name]
    if not found:
        raise NotFound("RegistryAssetNotFound", f"The registry '{registry}' has no {collection} of the name '{name}'.")
    return found


def _name(registry: str, collection: str, found: list[Entry]) -> Body:
    newest = found[-1]
    following = int(newest.version) + 1 if newest.version.isdecimal() else newest.version
    properties = {"latestVersion": newest.version, "nextVersion": str(following), **_about(newest)}
    return resource(_id(registry, collection, newest.name), f"registries/{collection}", properties)


def _version(registry: str, collection: str, entry: Entry) -> Body:
    id = f"{_id(registry, collection, entry.name)}/versions/{entry.version}"
    said = _SAID[collection](registry, id, entry)
    properties = {**said, **_about(entry), "isAnonymous": False, "provisioningState": "Succeeded"}
    return resource(id, f"registries/{collection}/versions", properties)


def _id(registry: str, collection: str, name: str) -> str:
    return f"azureml://registries/{registry}/{collection}/{name}"


def _about(entry: Entry) -> Body:
    return {
        "description": entry.body.get("description"),
        "tags": labels_of(entry.body.get("tags")),
        "properties": labels_of(entry.body.get("properties")),
        "isArchived": False,
    }


# --- each kind's own ---------------------------------------------------------------------------------------------------


def _environment(registry: str, id: str, entry: Entry) -> Body:
    written = entry.environment()
    found: Body = {"image": written.get("image"), "osType": "Linux", "environmentType": "Curated"}
    if (conda := written.get("conda_file")) is not None:
        found["condaFile"] = conda if isinstance(conda, str) else yaml.safe_dump(conda, sort_keys=False)
    if (build := written.get("build")) is not None:
        found["build"] = {"contextUri": f"{id}/context", "dockerfilePath": build.get("dockerfile_path")}
    return {key: value for key, value in found.items() if value is not None}


def _component(registry: str, id: str, entry: Entry) -> Body:
    spec: dict[str, Any] = {**entry.body, "name": entry.name, "version": entry.version}
    spec.setdefault("type", "pipeline" if "jobs" in spec else "command")
    if "code" in spec:
        spec["code"] = f"{_id(registry, 'codes', entry.name)}/versions/{entry.version}"
    if "environment" in spec and (not isinstance(spec["environment"], str) or spec["environment"][:5] == "file:"):
        spec["environment"] = "azureml:inline:1"
    return {"componentSpec": spec}


def _model(registry: str, id: str, entry: Entry) -> Body:
    return {
        "modelUri": id,
        "modelType": entry.body.get("type", "custom_model"),
        "flavors": entry.body.get("flavors") or {},
    }


def _data(registry: str, id: str, entry: Entry) -> Body:
    return {"dataUri": id, "dataType": entry.body.get("type", "uri_folder")}


_SAID = {"environments": _environment, "components": _component, "models": _model, "data": _data}
