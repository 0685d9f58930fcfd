"""Data: what an input or a registered path refers to, found and checked before anything is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mayfly.domain import addresses, references
from mayfly.domain.references import (
    AssetKind,
    AssetReference,
    DatastoreReference,
    JobOutputReference,
    LocalReference,
    RegistryReference,
    RemoteReference,
    RunReference,
)
from mayfly.kit.errors import Conflict, Invalid, MayflyError, NotFound, nearest
from mayfly.kit.ids import Digest
from mayfly.services import artifacts, assets, datastores, places, registries
from mayfly.services import jobs as job_service
from mayfly.services.datastores import Outside
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec.paths import Refers, refers
from mayfly.spec.settings import mapped
from mayfly.store import codec, results
from mayfly.store.assets import AssetRow
from mayfly.transfer import subtrees

MODEL_TYPES = ("mlflow_model", "custom_model", "triton_model")
DEFAULT_OUTPUT = ("default", "artifacts")
"""Both name a job's artifact root (semantics §4)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a reference means: a tree that Mayfly holds, or a place elsewhere."""

    reference: str
    """As people name it; nothing secret in it."""
    is_file: bool
    tree: str = ""
    outside: Outside | None = None
    asset: AssetRow | None = None
    type: str = ""
    """Of the asset, where it is one."""
    is_mapped: bool = False
    """A local path stands for the address (uri_map)."""
    job: str | None = None
    """The id of the job whose output it is."""


def find(world: World, place: Place, text: str, *, type: str = "uri_folder") -> Found:
    """What `text` refers to, for an input or asset of that type. It is there: a place elsewhere was asked, with its key.

    Raises Invalid `ReferenceInvalid`, `AddressInvalid`, `AddressHasCredentials`, `PathLeavesDatastore`; NotFound
    `DataNotFound`, `DatastoreNotFound`, `JobNotFound`, `OutputNotFound`, those of `assets.find`, `registries.find`; Forbidden
    `DataForbidden`; Unavailable `StorageUnreachable`; Conflict `JobNotEnded`."""
    reference = references.parse(text)
    local = mapped(world.settings().uri_map, text) or _mapped_bare(world, text)
    if local is not None:
        outside = Outside(f"file://{local}")
        return replace(_elsewhere(world, text, outside, type), is_mapped=True)
    match reference:
        case AssetReference():
            return _asset(world, place, reference, type)
        case DatastoreReference():
            return _datastore(world, place, reference, type)
        case JobOutputReference():
            return _job_output(world, place, reference, text)
        case RunReference():
            found = artifacts.resolve(world, places.find(world, place), text.strip())
            return Found(text, found.is_file, str(found.tree), job=found.job)
        case RemoteReference(address):
            return _remote(world, place, address, type)
        case RegistryReference():
            return _of_registry(world, place, reference, text)
        case LocalReference():
            raise Invalid("UploadMissing", f"The files of '{text}' were not sent.")


def _mapped_bare(world: World, text: str) -> str | None:
    return mapped(world.settings().uri_map, text[len("azureml:") :]) if text.lower().startswith("azureml:") else None


def _asset(world: World, place: Place, reference: AssetReference, type: str) -> Found:
    first = AssetKind.MODEL if type in MODEL_TYPES else AssetKind.DATA
    kinds = [first, _other(first)] if reference.kind is None else [reference.kind]
    failure: MayflyError | None = None
    for kind in kinds:
        try:
            row = assets.find_reference(world, place, kind, replace(reference, kind=None))
        except NotFound as error:
            failure = failure or error
            if error.code != "AssetNotFound":
                break
            continue
        where = place
        if reference.workspace is not None:
            there = reference.workspace
            where = Place(there.subscription, there.resource_group, there.workspace)
        named = f"azureml:{row.name}:{row.version}"
        if row.tree is not None:
            world.content.missing([Digest(row.tree)])
            return Found(named, row.is_file, row.tree, None, row, row.type)
        return replace(find(world, where, row.place or "", type=row.type), reference=named, asset=row, type=row.type)
    assert failure is not None
    raise failure


def _other(kind: AssetKind) -> AssetKind:
    return AssetKind.DATA if kind is AssetKind.MODEL else AssetKind.MODEL


def _of_registry(world: World, place: Place, reference: RegistryReference, text: str) -> Found:
    if reference.kind not in (AssetKind.DATA, AssetKind.MODEL):
        raise Invalid("ReferenceInvalid", f"'{text}' names no data, but a registry's {reference.kind.value}.")
    asset = registries.find(world, reference)
    path, type = str(asset.body.get("path") or ""), str(asset.body.get("type") or "")
    if not path.strip():
        raise Invalid("RegistryFileInvalid", f"'{text}' has no path in {asset.path.name}.", remedy="Write 'path: …'.")
    if refers(path) is not Refers.LOCAL:
        if isinstance(references.parse(path), RegistryReference):
            raise Invalid(
                "RegistryFileInvalid",
                f"'{text}' leads to a registry again ('{path}' in {asset.path.name}).",
                remedy="Name its files, or where they lie.",
            )
        return replace(find(world, place, path, type=type or "uri_folder"), reference=text, type=type)
    there = asset.beside(path)
    return Found(text, there.is_file(), registries.keep(world, registries.scan(world, there)), type=type)


def _datastore(world: World, place: Place, reference: DatastoreReference, type: str) -> Found:
    if reference.workspace is not None:
        there = reference.workspace
        place = Place(there.subscription, there.resource_group, there.workspace)
    workspace = places.find(world, place)
    if datastores.own(reference.datastore):
        tree, is_file = datastores.held(world, workspace.id, reference)
        return Found(str(reference), is_file, tree)
    return _elsewhere(world, str(reference), datastores.outside(world, workspace.id, reference), type)


def _job_output(world: World, place: Place, reference: JobOutputReference, text: str) -> Found:
    row = job_service.find(world, place, reference.job)
    if not row.job.state.terminal:
        raise Conflict(
            "JobNotEnded",
            f"The job '{row.name}' is {row.job.state.value}; its outputs can be used when it has ended.",
            remedy=f"Follow it: mayfly job stream -n {row.name}",
        )
    rows = world.store.read(lambda connection: results.outputs_of(connection, row.job.id, row.job.attempt))
    wanted = DEFAULT_OUTPUT if reference.output in DEFAULT_OUTPUT else (reference.output,)
    mine = [one for one in rows if one.name in wanted]
    if not mine:
        names = sorted({one.name for one in rows})
        near = nearest(reference.output, names)
        raise NotFound(
            "OutputNotFound",
            f"The job '{row.name}' has no output '{reference.output}'.",
            remedy=f"Did you mean '{near}'?" if near else f"It has: {', '.join(names) or 'none'}.",
        )
    parts = [datastores.read_tree(world, one.tree) for one in sorted(mine, key=lambda one: (one.rank, one.name))]
    found = subtrees.part(subtrees.merged(parts), reference.path)
    if found is None:
        raise NotFound("DataNotFound", f"There is nothing at '{text}'.")
    tree, is_file = found
    declared = {one["name"]: one for one in codec.load(row.work)["outputs"]}
    single = len(tree.entries) == 1 and declared.get(reference.output, {}).get("is_file", False)
    return Found(text, is_file or (not reference.path and single), datastores.keep_tree(world, tree), job=row.job.id)


def _remote(world: World, place: Place, address: str, type: str) -> Found:
    addresses.check_public(address)
    if address.startswith("file:"):
        raise Invalid(
            "AddressInvalid",
            f"'{address}' names a file of the server's machine.",
            remedy="Make a datastore of type folder for it, or give the path to be uploaded.",
        )
    workspace = places.find(world, place)
    own = datastores.addressed(world, workspace.id, address)
    if own is not None:
        reference, tree, is_file = own
        return Found(str(reference), is_file, tree)
    clean = addresses.canonical(address, folder=type != "uri_file")
    return _elsewhere(world, address, datastores.keys_for(world, workspace.id, clean), type)


def _elsewhere(world: World, text: str, outside: Outside, type: str) -> Found:
    """Ask whether it is there; what is declared as a file but is none, or the other way, is as it is."""
    is_file = world.storage.is_file(datastores.opened(world, outside))
    return Found(references.shown(text), is_file, "", outside)
