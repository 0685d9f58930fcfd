"""Registries: folders of asset files that the configuration gives names to (`registries`)."""

from __future__ import annotations

import re
from pathlib import Path

from mayfly.domain.references import RegistryReference
from mayfly.kit.errors import NotFound, nearest
from mayfly.services.world import World
from mayfly.transfer import registry, trees
from mayfly.transfer.ignore import IgnoreRules
from mayfly.transfer.registry import RegistryAsset
from mayfly.transfer.stats import StatCache
from mayfly.transfer.trees import Scan

_STATS = "registries.stats.json"
"""In the state folder: what was hashed before."""


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
            else f"Name a folder with its assets: mayfly registry add {reference.registry} /path/to/folder",
        )
    found = list(registry.assets(reference.registry, Path(folder), reference.kind))
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
