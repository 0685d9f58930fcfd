"""Registries as the SDK reads them: found by their name, what is in them, and the files of that; the curated environments are
one's, `azureml`."""

from __future__ import annotations

from typing import Annotated, Any

import fastapi
import yaml
from fastapi import APIRouter, Query, Request

from mayfly.api.azureml.assets import DEFAULT_VERSION
from mayfly.api.azureml.here import MFE, Here
from mayfly.api.azureml.workspaces import LOCATION
from mayfly.api.workspace import Name
from mayfly.domain.references import AssetKind
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid, NotFound
from mayfly.services import blobs, registries
from mayfly.services.registries import Entry
from mayfly.services.signatures import Grant
from mayfly.wire.azureml import datastores
from mayfly.wire.azureml.resources import PROVIDER, Body, labels_of, page, resource

_OWNER = "registries"
"""Subscription and group of every registry: clients want to be told some."""
_ONE = f"{MFE}/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/registries/{{registry}}"
_ARM = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/registries"
_FILES_MS = 3600_000
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

    @routes.get(_ARM)
    @routes.get(f"/subscriptions/{{subscription}}/providers/{PROVIDER}/registries")
    def every(request: Request) -> Body:
        """They belong to no subscription and no group, and are shown in each."""
        return here.paged(request, registries.names(here.world), str, lambda name: _registry(here, request, name))

    @routes.get(f"{_ARM}/{{registry}}")
    def one(registry: Name, request: Request) -> Body:
        registries.check(here.world, registry)
        return _registry(here, request, registry)

    @routes.get(f"{_ONE}/{{collection}}")
    def names(registry: Name, collection: Name, request: Request) -> Body:
        found: dict[str, list[Entry]] = {}
        for one in _entries(here, registry, collection):
            found.setdefault(one.name, []).append(one)
        body = lambda versions: _name(registry, collection, versions)  # noqa: E731
        return here.paged(request, list(found.values()), lambda versions: versions[0].name, body)

    @routes.get(f"{_ONE}/{{collection}}/{{name}}")
    def name(registry: Name, collection: Name, name: Name) -> Body:
        return _name(registry, collection, _versions(here, registry, collection, name))

    @routes.get(f"{_ONE}/{{collection}}/{{name}}/versions")
    def versions(
        registry: Name,
        collection: Name,
        name: Name,
        request: Request,
        skip: Annotated[str, Query(alias="$skip")] = "",
        top: Annotated[int | None, Query(alias="$top", ge=1)] = None,
    ) -> Body:
        """The newest first."""
        found = _versions(here, registry, collection, name)[::-1]
        begin = next((index + 1 for index, one in enumerate(found) if one.version == skip), 0)
        most = here.most(top)
        end = begin + most
        more = end < len(found) and (top is None or top > most)
        shown = [_version(here, request, registry, collection, one) for one in found[begin:end]]
        return page(shown, here.next(request, found[end - 1].version, top and top - most) if more else None)

    @routes.get(f"{_ONE}/{{collection}}/{{name}}/versions/{{version}}")
    def version(registry: Name, collection: Name, name: Name, version: Name, request: Request) -> Body:
        found = {one.version: one for one in _versions(here, registry, collection, name)}
        if version == DEFAULT_VERSION:
            version = next(reversed(found))
        if version not in found:
            raise NotFound(
                "RegistryAssetNotFound",
                f"The registry '{registry}' has no version {version} of '{name}'.",
                remedy=f"It has the versions {', '.join(found)}.",
            )
        return _version(here, request, registry, collection, found[version])

    @routes.post(f"{_ONE}/datarefs/{{name}}/versions/{{version}}")
    @routes.post(f"{_ONE}/datareferences/{{name}}/versions/{{version}}")
    def files(registry: Name, told: Annotated[Body, fastapi.Body()], request: Request) -> Body:
        """What opens the files of a version for a while. Clients take the address for a container of its own."""
        digest = registries.files(here.world, registry, str(told.get("assetId") or ""))
        until = Millis(here.world.clock.now() + _FILES_MS)
        grant = Grant(blobs.TREES, "rl", until, folder=digest, attempt=request.scope["attempt"])
        address = datastores.blob_address(here.base(request), blobs.TREES, digest)
        return datastores.pending_upload(address, here.world.signatures.sign(grant), digest)

    @routes.put(f"{_ONE}/{{rest:path}}")
    @routes.post(f"{_ONE}/{{rest:path}}")
    @routes.patch(f"{_ONE}/{{rest:path}}")
    @routes.delete(f"{_ONE}/{{rest:path}}")
    def change(registry: Name, rest: str) -> Body:
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
        raise NotFound(
            "RegistryAssetNotFound",
            f"The registry '{registry}' has no {collection} of the name '{name}'.",
            remedy="Registries are folders of this server's machine, and only read here: put the asset's file into one.",
        )
    return found


def _name(registry: str, collection: str, found: list[Entry]) -> Body:
    newest = found[-1]
    following = int(newest.version) + 1 if newest.version.isdecimal() else newest.version
    properties = {"latestVersion": newest.version, "nextVersion": str(following), **_about(newest)}
    return resource(_id(registry, collection, newest.name), f"registries/{collection}", properties)


def _registry(here: Here, request: Request, name: str) -> Body:
    base = here.base(request)
    properties = {
        "discoveryUrl": f"{base}/registrymanagement/v1.0/registries/{name}/discovery",
        "publicNetworkAccess": "Disabled",
        "regionDetails": [{"location": LOCATION, "acrDetails": [], "storageAccountDetails": []}],
        "intellectualPropertyPublisher": None,
        "managedResourceGroup": None,
        "mlFlowRegistryUri": None,
    }
    id = f"/subscriptions/{_OWNER}/resourceGroups/{_OWNER}/providers/{PROVIDER}/registries/{name}"
    return resource(id, "registries", properties, location=LOCATION, tags={}, identity={"type": "None"})


def _version(here: Here, request: Request, registry: str, collection: str, entry: Entry) -> Body:
    id = f"{_id(registry, collection, entry.name)}/versions/{entry.version}"
    said = _SAID[collection](registry, id, entry)
    if collection == "models" and entry.asset is not None and (last := entry.asset.last()):
        said["modelUri"] = (
            f"{here.base(request)}/{blobs.TREES}/{last}"  # clients cut the last part off, and ask for that
        )
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
