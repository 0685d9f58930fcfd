"""Environments that a workspace has under a name: registered, and found again by every form of a reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mayfly.domain import curated, references
from mayfly.domain import environments as rules
from mayfly.domain.references import AssetKind, AssetReference, RegistryReference
from mayfly.kit.errors import Fault, Invalid, NotFound
from mayfly.services import assets, containers, registries
from mayfly.services.assets import NewAsset
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store.assets import AssetRow
from mayfly.transfer import ignore

_RESERVED = re.compile(r"(azureml-|microsoft)", re.IGNORECASE)
_MEANT = ("image", "conda_file", "build")
"""What an environment is; the rest of its file is about it."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What a job's `environment` means here."""

    definition: str | Mapping[str, Any]
    """A reference to a curated one, or a definition."""
    name: str | None = None
    """'name:version' of a registered one."""


def register(world: World, who: str, place: Place, asset: NewAsset) -> tuple[AssetRow, bool]:
    """As `services.assets.register`. Raises Invalid also for a reserved name and for a definition that cannot be
    understood, with pointers into the environment's own file."""
    if _RESERVED.match(asset.name):
        raise Invalid(
            "EnvironmentNameReserved",
            f"'{asset.name}' begins with a prefix that is kept for curated environments.",
            pointer="/name",
            remedy="Choose a name that begins neither with AzureML- nor with Microsoft.",
        )
    definition = rules.with_context(
        {key: asset.definition[key] for key in _MEANT if asset.definition.get(key) is not None}, asset.tree
    )
    assert isinstance(definition, dict)
    try:
        built = rules.container(definition)
        if built is not None and built.context:
            containers.check_context(world, built)
        else:
            rules.understand(definition)
    except Invalid as error:
        raise _rebased(error) from error
    return assets.register(world, who, place, replace(asset, type="environment", definition=definition))


def meant(world: World, place: Place, environment: str | Mapping[str, Any]) -> Meant:
    """Look a reference up in its workspace or registry; what is not there may still be a curated environment. Raises
    Invalid `EnvironmentUnknown` for a version or label that a registered one does not have, and what is wrong with a
    registry's files."""
    reference = _named(environment) if isinstance(environment, str) else None
    if isinstance(reference, RegistryReference):
        return _of_registry(world, reference) or Meant(environment)
    if not isinstance(reference, AssetReference):
        return Meant(environment)
    try:
        row = assets.find_reference(world, place, AssetKind.ENVIRONMENT, reference)
    except NotFound as error:
        if error.code in ("AssetNotFound", "WorkspaceNotFound") and reference.workspace is None:
            return Meant(environment)
        raise Invalid("EnvironmentUnknown", error.message, remedy=error.remedy, pointer=rules.POINTER) from error
    return Meant(row.definition, f"{row.name}:{row.version}")


def _of_registry(world: World, reference: RegistryReference) -> Meant | None:
    """None: one of those that are shipped is meant, or one that nobody knows."""
    is_shipped = curated.find(reference.name) is not None
    if reference.registry not in world.settings().registries or (is_shipped and reference.registry == "azureml"):
        return None
    try:
        asset = registries.find(world, reference)
        definition = {key: asset.body[key] for key in _MEANT if asset.body.get(key) is not None}
        definition = asset.environment(definition)
        build, tree = definition.get("build"), None
        if build is not None and not (isinstance(build, dict) and build.get("path")):
            raise Invalid("RegistryFileInvalid", f"'build' names no path in {asset.path.name}.")
        if build is not None:
            context = Path(build["path"])
            left_out = ignore.load_context(context, str(build.get("dockerfile_path") or "Dockerfile"))
            tree = registries.keep(world, registries.scan(world, context, left_out))
        return Meant(rules.with_context(definition, tree), asset.named)
    except (NotFound, Invalid) as error:
        if is_shipped and error.code == "RegistryAssetNotFound":
            return None
        code = "EnvironmentUnknown" if error.code == "RegistryAssetNotFound" else error.code
        raise Invalid(code, error.message, remedy=error.remedy, pointer=rules.POINTER) from error


def _named(text: str) -> references.Reference | None:
    """What that refers to; None: nothing readable."""
    text = text.strip()
    if not text.lower().startswith("azureml:"):
        text = f"azureml:{text}"
    try:
        return references.parse(text)
    except Invalid:
        return None


def _rebased(error: Invalid) -> Invalid:
    def moved(pointer: str | None) -> str | None:
        return None if pointer is None else pointer.removeprefix(rules.POINTER)

    faults = [Fault(one.code, one.message, moved(one.pointer), one.remedy) for one in error.all_faults()]
    head = faults[0]
    return Invalid(head.code, head.message, remedy=head.remedy, pointer=head.pointer, faults=tuple(faults))
