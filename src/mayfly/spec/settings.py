"""The configuration file, `config.yml` in the state folder: what whoever runs this Mayfly may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import faults
from mayfly.spec.document import Document
from mayfly.spec.fields import Filled, Shape, Whole


class Containers(Shape):
    pull: bool = False
    """Whether images that are not here may be fetched from their registries."""


class Defaults(Shape):
    """What the command line takes where neither an option nor a variable says otherwise."""

    subscription: Filled = "local"
    resource_group: Filled = "local"
    workspace: Filled = "default"


class Settings(Shape):
    uri_map: dict[Filled, Filled] = {}
    """Prefix of an address → a local path that stands for it: files that name unreachable storage run as they are."""
    containers: Containers = Containers()
    defaults: Defaults = Defaults()
    registries: dict[Filled, Filled] = {}
    """Name of a registry → the folder with its assets."""
    retention_days: Whole | None = None
    """Outputs and logs of jobs that ended longer ago are given up by `mayfly gc`, unless an asset or a newer job needs
    them. None: never."""


def mapped(uri_map: Mapping[str, str], address: str) -> str | None:
    """The local path that stands for an address; the longest prefix wins. None: it stands for itself."""
    found = [prefix for prefix in uri_map if address.startswith(prefix)]
    if not found:
        return None
    prefix = max(found, key=len)
    return (
        uri_map[prefix].rstrip("/") + "/" + address[len(prefix) :].lstrip("/") if address != prefix else uri_map[prefix]
    )


def parse(document: Document) -> Settings:
    """Raises Invalid `ConfigInvalid` with every fault, each beginning with file and line."""
    model, found = faults.check(Settings, dict(document.data), keys=KEYS)
    if isinstance(model, Settings) and not found:
        return model
    told = [replace(fault, code="ConfigInvalid", message=_placed(document, fault)) for fault in found]
    raise Invalid("ConfigInvalid", told[0].message, remedy=told[0].remedy, faults=told if len(told) > 1 else ())


def _placed(document: Document, fault: Fault) -> str:
    place = document.position(fault.pointer or "")
    return f"{document.name}:{place[0]}: {fault.message}" if place else f"{document.name}: {fault.message}"


KEYS: dict[tuple[str, ...], type[Shape]] = {(): Settings, ("containers",): Containers, ("defaults",): Defaults}
"""Which keys may stand where, for suggestions."""
