"""Registries: folders of asset files that the configuration gives names to (`registries`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mayfly.domain import references
from mayfly.domain.curated import CURATED, Curated
from mayfly.domain.references import AssetKind, RegistryReference
from mayfly.kit.errors import Invalid, NotFound, nearest
from mayfly.services.world import World
from mayfly.transfer import registry, trees
from mayfly.transfer.ignore import IgnoreRules
from mayfly.transfer.registry import RegistryAsset
from mayfly.transfer.stats import StatCache
from mayfly.transfer.trees import Scan
from mayfly.wire.agent import Tree

SHIPPED = "azureml"
"""The registry that has the curated environments, whether or not it is a folder too."""
_STATS = "registries.stats.json"
"""In the state folder: what was hashed before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of an asset, as lists show it."""

    name: str
    version: str
    body: Mapping[str, Any]
    asset: RegistryAsset | None = None
    """None: it is shipped."""

    def environment(self) -> Mapping[str, Any]:
        """Its definition, with the files for its packages read in."""
        return self.body if self.asset is None else self.asset.environment(dict(self.body))


def entries(world: World, name: str, kind: AssetKind) -> list[Entry]:
    """By name, the newest version of each last; those that are shipped before others of the name. Raises NotFound
    `RegistryNotFound`."""
    check(world, name)
    shipped = [_shipped(one) for one in CURATED] if name == SHIPPED and kind is AssetKind.ENVIRONMENT else []
    folder = world.settings().registries.get(name)
    there = list(registry.assets(name, Path(folder), kind, Path(world.state_folder))) if folder is not None else []
    taken = {one.name for one in shipped}
    found = [Entry(one.body["name"], one.version, one.body, one) for one in there if one.body["name"] not in taken]
    return sorted([*shipped, *found], key=lambda one: (one.name, _order(one.version)))


def names(world: World) -> list[str]:
    """Of every registry there is."""
    return sorted({SHIPPED, *world.settings().registries})


def files(world: World, name: str, asset: str) -> str:
    """The digest of a tree that has the files of a version: one file or folder, under its own name. Kept for a day at
    least. `asset` is its id. Raises Invalid `ReferenceInvalid`, NotFound `RegistryNotFound`, `RegistryAssetNotFound`,
    `RegistryFileNotFound`."""
    reference = references.parse(asset)
    if not isinstance(reference, RegistryReference) or reference.registry != name:
        raise Invalid("ReferenceInvalid", f"'{asset[:200]}' names nothing of the registry '{name}'.")
    found = find(world, reference)
    there = found.beside(str(found.body.get("path") or ""))
    whole = scan(world, there)
    keep(world, whole)
    entries = whole.tree.entries
    if not there.is_file():
        entries = tuple(msgspec.structs.replace(entry, path=f"{there.name}/{entry.path}") for entry in entries)
    tree = Tree(entries=entries)
    digest = trees.digest_of(tree)
    world.content.put(digest, [trees.canonical(tree)])
    return digest


def _shipped(entry: Curated) -> Entry:
    image = f"mcr.microsoft.com/azureml/curated/{entry.name}:latest"
    return Entry(entry.name, "1", {"name": entry.name, "image": image, "description": entry.about})


def check(world: World, name: str) -> None:
    """Raises NotFound `RegistryNotFound`."""
    if name != SHIPPED:
        _folder(world, name)


def _folder(world: World, name: str) -> Path:
    known = world.settings().registries
    if name in known:
        return Path(known[name])
    if name == SHIPPED:
        raise NotFound(
            "RegistryAssetNotFound",
            f"The registry '{SHIPPED}' has the curated environments here, and nothing else.",
            remedy=f"Name a folder with its other assets: mayfly registry add {SHIPPED} /path/to/folder",
        )
    near = nearest(name, list(known))
    raise NotFound(
        "RegistryNotFound",
        f"There is no registry '{name}' here.",
        remedy=f"Did you mean '{near}'?"
        if near
        else f"Name a folder with its assets: mayfly registry add {name} /path/to/folder",
    )


def find(world: World, reference: RegistryReference) -> RegistryAsset:
    """The asset's file: that version, else the newest. Raises NotFound `RegistryNotFound`, `RegistryAssetNotFound`."""
    folder = _folder(world, reference.registry)
    found = list(registry.assets(reference.registry, folder, reference.kind, Path(world.state_folder)))
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


def scan(world: World, place: Path, rules: IgnoreRules | None = None) -> Scan:
    """The files at a place of a registry but those that the rules leave out. Raises as `trees.scan` and
    `trees.tree_of_file` do."""
    stats = StatCache(Path(world.state_folder) / _STATS)
    if place.is_file():
        found = trees.tree_of_file(place, cache=stats)
    else:
        found = trees.scan(place, rules and rules.ignored, links="inside", cache=stats)
    stats.save()
    return found


def keep(world: World, found: Scan) -> str:
    """Keep scanned files as if they had been sent; the digest of their tree."""
    for digest in world.content.missing(found.files):
        with open(found.files[digest], "rb") as file:
            world.content.put(digest, iter(lambda file=file: file.read(trees.CHUNK), b""))
    world.content.put(found.digest, [trees.canonical(found.tree)])
    return found.digest


def _order(version: str) -> list[tuple[int, int | str]]:
    """1.10 is newer than 1.9."""
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in re.split(r"[._+-]", version)]
