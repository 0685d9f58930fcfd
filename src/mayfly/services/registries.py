"""Registries: folders of asset files that the configuration gives names to (`registries`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mayfly.domain.references import AssetKind, RegistryReference
from mayfly.kit.errors import Invalid, NotFound, nearest
from mayfly.services.world import World
from mayfly.spec import document

_MOST = 5_000
_SCHEMA = re.compile(r"/(\w+)\.schema\.json\Z")


@dataclass(frozen=True, slots=True)
class RegistryAsset:
    path: Path
    """Its file; paths in it are relative to that."""
    body: dict[str, Any]
    version: str


def find(world: World, reference: RegistryReference) -> RegistryAsset:
    """The asset's file: that version, else the newest. Raises NotFound `RegistryNotFound`, `RegistryAssetNotFound`."""
    known = world.settings().registries
    folder = known.get(reference.registry)
    if folder is None:
        near = nearest(reference.registry, list(known))
        raise NotFound(
            "RegistryNotFound",
            f"There is no registry '{reference.registry}' here.",
            remedy=f"Did you mean '{near}'?"
            if near
            else f"Name a folder with its assets: mayfly config set registries.{reference.registry} /path/to/folder",
        )
    found = list(_assets(Path(folder), reference.kind))
    named = [one for one in found if one.body["name"] == reference.name]
    wanted = [one for one in named if reference.version in (None, one.version)]
    if reference.label not in (None, "latest") or not wanted:
        versions = ", ".join(sorted({one.version for one in named}, key=_order))
        near = nearest(reference.name, [str(one.body["name"]) for one in found])
        raise NotFound(
            "RegistryAssetNotFound",
            f"The registry '{reference.registry}' has no {reference.kind.value} '{reference.name}'"
            + (f" of version {reference.version}." if reference.version else "."),
            remedy=f"It has the versions {versions}." if versions else f"Did you mean '{near}'?" if near else None,
        )
    return max(wanted, key=lambda one: _order(one.version))


def _assets(folder: Path, kind: AssetKind) -> Iterator[RegistryAsset]:
    """Every file of that kind below the folder; what cannot be read is none."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".yml", ".yaml"))[:_MOST]
    for path in paths:
        try:
            body = document.load(path.read_bytes(), str(path)).data
        except (Invalid, OSError):
            continue
        if isinstance(body.get("name"), str) and _is(body, path.relative_to(folder), kind):
            yield RegistryAsset(path, body, str(body.get("version", "1")))


def _is(body: dict[str, Any], path: Path, kind: AssetKind) -> bool:
    """By its schema, else by the folder it lies in (`components/…`), else by what it has."""
    schema = _SCHEMA.search(str(body.get("$schema", "")))
    if schema is not None:
        return schema[1].lower().endswith(kind.value)
    if (collection := path.parts[0].lower()) in ("components", "environments", "models", "data"):
        return collection.rstrip("s") == kind.value
    return kind is AssetKind.COMPONENT and "command" in body and "environment" in body


def _order(version: str) -> list[tuple[int, int | str]]:
    """1.10 is newer than 1.9."""
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in re.split(r"[._+-]", version)]
