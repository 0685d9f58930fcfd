"""Code as a resource: found by its hash where it was sent before, else sent as blobs and then registered."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from mayfly.api.azureml.here import WS, Here, id_of
from mayfly.api.workspace import Name, user
from mayfly.kit.clock import Millis
from mayfly.services import blobs, codes
from mayfly.services.places import Place
from mayfly.services.signatures import Grant
from mayfly.store.codes import CodeRow
from mayfly.wire.azureml import datastores as wire
from mayfly.wire.azureml.resources import Body, properties_of, resource

_UPLOAD_MS = 24 * 3600_000
_VERSIONS = f"{WS}/codes/{{name}}/versions"
_ONE = f"{_VERSIONS}/{{version}}"


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get(_VERSIONS)
    def listing(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        request: Request,
        hash: str | None = None,
        hashVersion: str = codes.HASH_VERSION,
    ) -> Body:
        return page(here, request, Place(subscription, group, workspace), name, hash, hashVersion)

    @routes.get(_ONE)
    def show(subscription: Name, group: Name, workspace: Name, name: Name, version: Name, request: Request) -> Body:
        return shown(here, request, Place(subscription, group, workspace), name, version)

    @routes.put(_ONE)
    def create(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        version: Name,
        body: dict[str, Any],
        request: Request,
        response: Response,
    ) -> Body:
        place = Place(subscription, group, workspace)
        properties = properties_of(body)
        address = str(properties.get("codeUri") or "")
        row, made = codes.register(here.world, user(request), place, name, version, address, properties)
        response.status_code = 201 if made else 200
        return _body(here, request, place, row)

    @routes.post(f"{_ONE}/startPendingUpload")
    def start(subscription: Name, group: Name, workspace: Name, name: Name, version: Name, request: Request) -> Body:
        """Clients take the address for a container of its own: it is a folder, and opens nothing beside it."""
        space, path = codes.folder(here.world, Place(subscription, group, workspace), name, version)
        container = blobs.container_of(space.workspace, space.datastore)
        until = Millis(here.world.clock.now() + _UPLOAD_MS)
        signature = here.world.signatures.sign(
            Grant(container, "racw", until, folder=path, attempt=request.scope["attempt"])
        )
        address = wire.blob_address(here.base(request), container, path)
        return wire.pending_upload(address, signature, here.world.ids.new("upload"))

    return routes


def page(here: Here, request: Request, place: Place, name: str, hash: str | None, hash_version: str) -> Body:
    """Versions of that name or, where a hash is given, those of any name that have it."""

    def look() -> list[CodeRow]:
        if hash is None:
            return codes.versions(here.world, place, name)
        return codes.same(here.world, place, hash, hash_version)

    body = lambda row: _body(here, request, place, row)  # noqa: E731
    return here.paged(request, here.listed(look), lambda row: row.version, body)


def shown(here: Here, request: Request, place: Place, name: str, version: str) -> Body:
    """Raises NotFound."""
    return _body(here, request, place, codes.find(here.world, place, name, version))


def _body(here: Here, request: Request, place: Place, row: CodeRow) -> Body:
    container = blobs.container_of(row.workspace, row.datastore)
    properties = {**row.body, "codeUri": wire.code_address(here.base(request), container, row.path)}
    id = id_of(place, "codes", row.name, "versions", row.version)
    return resource(id, "workspaces/codes/versions", properties, by=row.created_by, at=row.created_at)
