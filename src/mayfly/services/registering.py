"""Data and models on their way to a name: what a person points at is found, checked and kept."""

from __future__ import annotations

from dataclasses import replace

from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.kit.ids import Digest
from mayfly.services import assets, data
from mayfly.services.assets import NewAsset
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store.assets import AssetRow
from mayfly.wire import assets as wire

TYPES = {
    AssetKind.DATA: ("uri_file", "uri_folder", "mltable"),
    AssetKind.MODEL: data.MODEL_TYPES,
}
_DEFAULTS = {AssetKind.DATA: "uri_folder", AssetKind.MODEL: "custom_model"}


def register(world: World, who: str, place: Place, kind: AssetKind, ask: wire.AssetNew) -> tuple[AssetRow, bool]:
    """Data or a model: what was sent (`upload`), what Mayfly holds already (its content then belongs to the asset, whatever
    becomes of the place it was found at), or a place elsewhere, which stays a place. Durable when it returns.

    Raises as `services.assets.register`, with pointers as `services.data.find`; Invalid `AssetTypeInvalid`, `PathMissing`,
    `UploadMissing`."""
    chosen = ask.type or _DEFAULTS[kind]
    if chosen not in TYPES[kind]:
        raise Invalid(
            "AssetTypeInvalid",
            f"'{chosen[:60]}' is no type of a {kind.value}.",
            pointer="/type",
            remedy=f"Write one of {', '.join(TYPES[kind])}.",
        )
    made = NewAsset(
        kind=kind,
        name=ask.name,
        version=ask.version,
        type=chosen,
        definition=ask.definition,
        description=ask.description,
        tags=ask.tags,
        properties=ask.properties,
    )
    assets.check_names(made)
    return assets.register(world, who, place, _with_content(world, place, made, ask))


def _with_content(world: World, place: Place, made: NewAsset, ask: wire.AssetNew) -> NewAsset:
    if ask.upload is not None:
        if world.content.missing([Digest(ask.upload)]):
            raise Invalid("UploadMissing", "The files were not sent.", pointer="/path", remedy="Send them again.")
        return replace(made, tree=ask.upload, is_file=ask.is_file)
    if not ask.path:
        raise Invalid("PathMissing", "'path' is missing.", pointer="/path", remedy="Say where it is.")
    try:
        found = data.find(world, place, ask.path, type=made.type)
    except MayflyError as error:
        fault = Fault(error.code, error.message, "/path", error.remedy)
        raise type(error)(error.code, error.message, remedy=error.remedy, pointer="/path", faults=[fault]) from error
    if found.tree:
        return replace(made, tree=found.tree, is_file=found.is_file, place=found.reference, job=found.job)
    return replace(made, place=ask.path, is_file=found.is_file)
