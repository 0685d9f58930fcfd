"""Environments, data, models and components as resources: versions of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import yaml
from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AfterValidator

from mayfly.api.azureml import code, pipeline
from mayfly.api.azureml.here import WS, Here, id_of, labelled, which_of
from mayfly.api.workspace import Name, user
from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Invalid
from mayfly.services import assets, components, datastores, places, registered, registering, verbatim
from mayfly.services.assets import NewAsset
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store.assets import AssetRow
from mayfly.store.datastores import ASSETS
from mayfly.wire.assets import AssetNew
from mayfly.wire.azureml.resources import Body as Told
from mayfly.wire.azureml.resources import labels_of, page, properties_of, resource
from mayfly.wire.mayfly import Submission

DEFAULT_VERSION = "azureml_default"
"""What clients ask for where a person names no version of a component."""
_KEPT = re.compile(r"azureml:(?!//)|azureml://(jobs|registries)/|runs:/", re.IGNORECASE)
"""Words for a place that clients cannot read by: what they name is an asset's own once it is registered."""

Register = Callable[[World, str, Place, str, str, Told], tuple[AssetRow, bool]]


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    """In addresses."""
    kind: AssetKind
    register: Register
    """Of `properties`."""
    said: Callable[[AssetRow], Told]
    """The properties of one that came by another door."""
    uri: str = ""
    """The property that says where its files lie."""


Asked = Annotated[str, Path(max_length=255), AfterValidator(lambda name: name.removeprefix("azureml:"))]
"""The name of an asset that is looked for: for azureml:NAME@latest, the SDK asks with the prefix."""


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    for collection in COLLECTIONS:
        _versions(routes, here, collection)
        _names(routes, here, collection)
    return routes


def _versions(routes: APIRouter, here: Here, of: Collection) -> None:
    one = f"{WS}/{of.name}/{{name}}/versions/{{version}}"

    @routes.put(one)
    def put(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        version: Name,
        told: Annotated[Told, Body()],
        request: Request,
        response: Response,
    ) -> Told:
        place = Place(subscription, group, workspace)
        found, created = kept(here, of, user(request), place, name, version, told)
        response.status_code = 201 if created else 200
        return found

    @routes.get(one)
    def show(subscription: Name, group: Name, workspace: Name, name: Asked, version: Name) -> Told:
        place = Place(subscription, group, workspace)
        wanted = None if version == DEFAULT_VERSION else version
        return _body(here, of, place, assets.find(here.world, place, of.kind, name, version=wanted))

    @routes.get(f"{WS}/{of.name}/{{name}}/versions")
    def listing(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Asked,
        request: Request,
        view: Annotated[str, Query(alias="listViewType")] = "ActiveOnly",
        top: Annotated[int | None, Query(alias="$top", ge=1)] = None,
        skip: Annotated[str, Query(alias="$skip")] = "",
        version: str = "",
        tags: str = "",
        stage: str = "",
    ) -> Told:
        """`version`, `tags` and `stage` leave a page shorter than others, never what it would have shown out."""
        place, which = Place(subscription, group, workspace), which_of(view)
        most = here.most(top)
        found = here.listed(
            lambda: assets.version_rows(here.world, place, of.kind, name, most + 1, skip or None, which)
        )
        more = len(found) > most and (top is None or top > most)
        next_link = here.next(request, found[most - 1].version, top and top - most) if more else None
        shown = [row for row in found[:most] if version in ("", row.version) and labelled(row.tags, tags)]
        bodies = [_body(here, of, place, row) for row in shown]
        return page([one for one in bodies if stage in ("", one["properties"].get("stage"))], next_link)


def _names(routes: APIRouter, here: Here, of: Collection) -> None:
    one = f"{WS}/{of.name}/{{name}}"

    @routes.get(one)
    def show(subscription: Name, group: Name, workspace: Name, name: Asked) -> Told:
        return _name_body(here, of, Place(subscription, group, workspace), name)

    @routes.put(one)
    def change(subscription: Name, group: Name, workspace: Name, name: Name, told: Annotated[Told, Body()]) -> Told:
        """Only whether it is archived is a name's own."""
        place = Place(subscription, group, workspace)
        archived = properties_of(told).get("isArchived")
        if isinstance(archived, bool):
            assets.archive(here.world, place, of.kind, name, None, archived=archived)
        return _name_body(here, of, place, name)

    @routes.get(f"{WS}/{of.name}")
    def listing(
        subscription: Name,
        group: Name,
        workspace: Name,
        request: Request,
        view: Annotated[str, Query(alias="listViewType")] = "ActiveOnly",
        skip: Annotated[str, Query(alias="$skip")] = "",
    ) -> Told:
        place, which = Place(subscription, group, workspace), which_of(view)
        found = here.listed(lambda: assets.page(here.world, place, of.kind, here.page + 1, skip or None, which).assets)
        shown = found[: here.page]
        next_link = here.next(request, shown[-1].name) if len(found) > len(shown) else None
        return page([_name_body(here, of, place, one.name) for one in shown], next_link)


def kept(here: Here, of: Collection, who: str, place: Place, name: str, version: str, told: Told) -> tuple[Told, bool]:
    """The version as it is answered, and whether it is new. Raises as `of.register`."""
    said = properties_of(told)
    row, created = of.register(here.world, who, place, name, version, said)
    if created:
        verbatim.keep(here.world, who, place, of.name, name, told, version)
    hidden = bool(said.get("isAnonymous") or said.get("isArchived"))
    if hidden != row.archived and (hidden or not created):
        assets.archive(here.world, place, of.kind, name, version, archived=hidden)
        row = replace(row, archived=hidden)
    return _body(here, of, place, row), created


def _body(here: Here, of: Collection, place: Place, row: AssetRow) -> Told:
    told = verbatim.find(here.world, place, of.name, row.name, row.version)
    said = properties_of(told.body) if told is not None else of.said(row)
    now = {
        "description": row.description,
        "tags": dict(row.tags),
        "properties": {**labels_of(said.get("properties")), **row.properties},
        "isArchived": row.archived and not said.get("isAnonymous"),
        "isAnonymous": bool(said.get("isAnonymous")),
        "provisioningState": "Succeeded",
    }
    if of.kind is AssetKind.MODEL:
        now["flavors"] = said.get("flavors") or {}  # clients look into it
        now["jobName"] = assets.job_of(here.world, row)
    if of.uri and row.tree is not None and _KEPT.match(str(said.get(of.uri))):
        now[of.uri] = _held(here.world, place, row)
    if of.kind is AssetKind.COMPONENT:
        now["componentSpec"] = {**said["componentSpec"], "name": row.name, "version": row.version}
    id = id_of(place, of.name, row.name, "versions", row.version)
    return resource(id, f"workspaces/{of.name}/versions", {**said, **now}, by=row.created_by, at=row.created_at)


def _name_body(here: Here, of: Collection, place: Place, name: str) -> Told:
    latest, following, archived = assets.name(here.world, place, of.kind, name)
    properties = {
        "description": latest.description,
        "tags": dict(latest.tags),
        "properties": dict(latest.properties),
        "isArchived": archived,
        "latestVersion": latest.version,
        "nextVersion": str(following),
        **({"dataType": latest.type} if of.kind is AssetKind.DATA else {}),
    }
    id = id_of(place, of.name, name)
    return resource(id, f"workspaces/{of.name}", properties, by=latest.created_by, at=latest.created_at)


# --- each kind's own ---------------------------------------------------------------------------------------------------


def _environment(world: World, who: str, place: Place, name: str, version: str, said: Told) -> tuple[AssetRow, bool]:
    build = said.get("build")
    conda = said.get("condaFile")
    sent = None
    if isinstance(build, Mapping):
        address = str(build.get("contextUri") or "")
        sent = datastores.addressed(world, places.create(world, place)[0].id, address)
    definition = {
        "image": said.get("image"),
        "conda_file": _yaml(conda) if isinstance(conda, str) and conda.strip() else None,
        "build": {"path": build.get("contextUri"), "dockerfile_path": build.get("dockerfilePath")}
        if isinstance(build, Mapping)
        else None,
    }
    asset = NewAsset(
        kind=AssetKind.ENVIRONMENT,
        name=name,
        version=version,
        type="environment",
        definition=definition,
        description=said.get("description"),
        tags=labels_of(said.get("tags")),
        properties=labels_of(said.get("properties")),
        tree=None if sent is None else sent[1],
    )
    return registered.register(world, who, place, asset)


def _yaml(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid("YamlInvalid", f"condaFile is no YAML: {error}", pointer="/conda_file") from error


def _environment_said(row: AssetRow) -> Told:
    found = {"image": row.definition.get("image"), "osType": "Linux", "environmentType": "UserCreated"}
    if (conda := row.definition.get("conda_file")) is not None:
        found["condaFile"] = conda if isinstance(conda, str) else yaml.safe_dump(conda)
    if (build := row.definition.get("build")) is not None:
        found["build"] = {"contextUri": build["path"], "dockerfilePath": build.get("dockerfile_path")}
    return {key: value for key, value in found.items() if value is not None}


def _data(world: World, who: str, place: Place, name: str, version: str, said: Told) -> tuple[AssetRow, bool]:
    ask = _new(name, version, said, str(said.get("dataType") or ""), str(said.get("dataUri") or ""))
    return registering.register(world, who, place, AssetKind.DATA, ask)


def _data_said(row: AssetRow) -> Told:
    return {"dataType": row.type, "dataUri": _uri(row)}


def _model(world: World, who: str, place: Place, name: str, version: str, said: Told) -> tuple[AssetRow, bool]:
    ask = _new(name, version, said, str(said.get("modelType") or ""), str(said.get("modelUri") or ""))
    own = {key: said[name] for key, name in (("flavors", "flavors"), ("stage", "stage")) if said.get(name)}
    return registering.register(world, who, place, AssetKind.MODEL, ask.model_copy(update={"definition": own}))


def _model_said(row: AssetRow) -> Told:
    return {"modelType": row.type, "modelUri": _uri(row), "flavors": row.definition.get("flavors") or {}}


def _new(name: str, version: str, said: Told, type: str, path: str) -> AssetNew:
    return AssetNew(
        name=name,
        version=version,
        type=type,
        path=path,
        description=said.get("description"),
        tags=labels_of(said.get("tags")),
        properties=labels_of(said.get("properties")),
    )


def _uri(row: AssetRow) -> str:
    return row.place or f"azureml:{row.name}:{row.version}"


def _held(world: World, place: Place, row: AssetRow) -> str:
    """Where clients read the files that Mayfly holds for a version."""
    last = re.split(r"[/:]", (row.place or "").rstrip("/"))[-1]
    if row.is_file:
        last = world.trees.read(world.content, str(row.tree)).entries[0].path
    base = f"azureml://subscriptions/{place.subscription}/resourcegroups/{place.resource_group}"
    path = f"{ASSETS}/{row.kind}/{row.name}/{row.version}/{last.rpartition('/')[2] or row.name}"
    return f"{base}/workspaces/{place.workspace}/datastores/{datastores.DEFAULT}/paths/{path}"


def _component(world: World, who: str, place: Place, name: str, version: str, said: Told) -> tuple[AssetRow, bool]:
    spec = said.get("componentSpec")
    if not isinstance(spec, Mapping):
        raise Invalid("ComponentInvalid", "The body says no componentSpec.", pointer="/properties/componentSpec")
    spec = pipeline.component(spec) if str(spec.get("type")).lower() == "pipeline" else spec
    body = {key: value for key, value in spec.items() if key not in ("_source", "sourceJobId")}
    if body.get("is_deterministic") is True:
        del body["is_deterministic"]  # as where nothing is said
    body |= {
        "name": name,
        "version": version,
        "description": said.get("description"),
        "tags": labels_of(said.get("tags")),
    }
    named, uploads = code.sent(world, body.pop("code", None), "/component/code")
    ask = Submission(definition={"component": {**body, **named}}, uploads=uploads)
    return components.create(world, who, place, ask)


def _component_said(row: AssetRow) -> Told:
    body = {**row.definition["component"], "name": row.name, "version": row.version}
    return {"componentSpec": body}


ENVIRONMENTS = Collection("environments", AssetKind.ENVIRONMENT, _environment, _environment_said)
COLLECTIONS = (
    ENVIRONMENTS,
    Collection("data", AssetKind.DATA, _data, _data_said, "dataUri"),
    Collection("models", AssetKind.MODEL, _model, _model_said, "modelUri"),
    Collection("components", AssetKind.COMPONENT, _component, _component_said),
)
