"""What Azure's resource manager has beside training, and this server has not: each is refused with the reason. Its routes come
last, so that every door that is there is found before."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from mayfly.api.azureml.here import MFE, WS, Here
from mayfly.kit.errors import Invalid
from mayfly.wire.azureml.resources import PROVIDER

METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]
_RESOURCES = "/subscriptions/{subscription}/{groups}/{group}/providers/Microsoft.Resources"
_REGISTRIES = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/registries"

_SERVES_NOTHING = "Mayfly trains; it serves no models, so there are no endpoints and no deployments."
_DOWNLOAD = "Download the model (models.download) and serve it where you serve others."
_AS_DATA = "Register what you have as data (data.create_or_update) and give it to jobs as an input."
_SHARE = "Put the asset's file into a folder, and name that folder: mayfly registry add NAME /path/to/folder"

_REASONS = (
    (
        "onlineEndpoints batchEndpoints serverlessEndpoints inferenceEndpoints endpoints marketplaceSubscriptions "
        "capabilityHosts",
        _SERVES_NOTHING,
        _DOWNLOAD,
    ),
    ("featuresets featurestoreEntities features", "There are no feature stores here.", _AS_DATA),
    (
        "connections",
        "This server keeps no connections to other services.",
        "Credentials of storage are a datastore's (datastores.create_or_update), others a job's environment_variables.",
    ),
    (
        "outboundRules provisionManagedNetwork privateEndpointConnections privateLinkResources "
        "outboundNetworkDependenciesEndpoints",
        "A workspace has no network of its own here.",
        "Nothing is to be set up: jobs have the network of the machine that they run on.",
    ),
    ("diagnose", "A workspace is rows of this server, with nothing of its own to diagnose.", "Type: mayfly doctor"),
    (
        "listKeys resyncKeys listStorageAccountKeys",
        "A workspace has no keys: its storage is opened by signatures that end.",
        "Ask for one: datastores.get_default(include_secrets=True)",
    ),
    (
        "notebooks prepareNotebook listNotebookKeys listNotebookAccessToken",
        "There are no notebooks on this server.",
        "Run them beside it: mayfly exec -- jupyter lab",
    ),
)
_WHY: Mapping[str, tuple[str, str]] = {word: tuple(told) for words, *told in _REASONS for word in words.split()}  # pyright: ignore[reportAssignmentType]
"""By the first word below a workspace."""


_THERE = ("jobs", "environments", "data", "models", "components", "codes", "computes", "datastores", "schedules")
"""What is there, at other addresses than was asked for."""


def router(_here: Here) -> APIRouter:
    routes = APIRouter()
    for path, refuse in (
        (f"{WS}/{{kind}}/{{name}}/versions/{{version}}/publish", _share),
        (f"{WS}/models/{{name}}/versions/{{version}}/package", _package),
        (f"{WS}/schedules/{{name}}/trigger", _trigger),
        *((f"{WS}/computes/{{name}}/{word}", _power) for word in ("start", "stop", "restart", "enableSso", "resize")),
    ):
        routes.add_api_route(path, refuse, methods=["POST"])
    routes.add_api_route(WS, _delete, methods=["DELETE"])
    for path, refuse in (
        (f"{WS}/{{kind}}", _other),
        (f"{WS}/{{kind}}/{{rest:path}}", _other),
        (f"{MFE}{WS}/{{kind}}/{{rest:path}}", _other),
        (f"{_REGISTRIES}/{{rest:path}}", _registry),
        (f"{_RESOURCES}/{{rest:path}}", _template),
        ("/genericasset/{rest:path}", _index),
    ):
        routes.add_api_route(path, refuse, methods=METHODS)
    return routes


def _other(kind: str, rest: str = "") -> None:
    if kind in _THERE:
        why = f"Nothing is done at '{kind}/{rest}' of a workspace."
        raise Invalid("AddressInvalid", why, remedy="A name has no '/': use letters, digits, '-' and '_'.")
    why, remedy = _WHY.get(kind, (f"This server has no {kind}.", "See docs/compatibility.md for what there is."))
    raise Invalid("NotOfferedHere", why, remedy=remedy)


def _share(name: str, version: str) -> None:
    why = f"{name}:{version} cannot be shared from here: registries are folders of the server's machine, and only read."
    raise Invalid("RegistryReadOnly", why, remedy=_SHARE)


def _package(name: str) -> None:
    raise Invalid("NotOfferedHere", f"The model '{name}' cannot be packaged. {_SERVES_NOTHING}", remedy=_DOWNLOAD)


def _trigger(name: str) -> None:
    raise Invalid(
        "ScheduleTriggerNotSupported",
        f"The schedule '{name}' is kept, but this server does not start jobs of schedules yet.",
        remedy="Submit its job: jobs.create_or_update(schedule.create_job)",
    )


def _power(name: str) -> None:
    raise Invalid(
        "ComputeHasNoPower",
        f"'{name}' is no machine but a name for serverless with a size: it is neither on nor off.",
        remedy="Submit jobs to it: their nodes come and go with them.",
    )


def _delete(workspace: str) -> None:
    raise Invalid(
        "WorkspaceStays",
        f"The workspace '{workspace}' stays: what its jobs and assets were is not forgotten.",
        remedy="Archive them; retention_days of the configuration says how long outputs and logs are kept.",
    )


def _registry() -> None:
    why = "A registry is a folder of the server's machine: it is neither made nor removed by this door."
    raise Invalid("RegistryReadOnly", why, remedy=_SHARE)


def _template() -> None:
    raise Invalid(
        "NotOfferedHere",
        "This server takes no deployment templates: workspaces are made without, feature stores and hubs are not there.",
        remedy="An embedded server makes a workspace on its first write; another: mayfly workspace create",
    )


def _index() -> None:
    raise Invalid("NotOfferedHere", "There are no search indexes here.", remedy=_AS_DATA)
