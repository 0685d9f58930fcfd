"""Inputs of a job: what each refers to, what its node is told, and what it may read of storage elsewhere."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, Forbidden, Invalid, MayflyError, NotFound
from mayfly.kit.ids import Digest
from mayfly.services import data, datastores, outputs
from mayfly.services.data import Found
from mayfly.services.datastores import Outside
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec.document import escape
from mayfly.spec.models import DataInput
from mayfly.spec.paths import Refers, local, refers
from mayfly.store import codec, lineage, workspaces
from mayfly.store import datastores as placements
from mayfly.store.datastores import Placement
from mayfly.store.jobs import JobRow
from mayfly.store.lineage import Link
from mayfly.store.unit import Unit
from mayfly.wire import agent
from mayfly.wire.agent import Tree
from mayfly.wire.mayfly import Submission

MOST_FILES = 1_000_000
"""In one listing."""
EVALUATED = ("eval_mount", "eval_download")


@dataclass(frozen=True, slots=True)
class Source:
    """One input, found."""

    given: DataInput
    found: Found
    note: str = ""


def sources(
    world: World,
    place: Place,
    submission: Submission,
    given: Mapping[str, DataInput],
    standing: Mapping[str, Found] | None = None,
) -> dict[str, Source]:
    """What each input refers to; it is there, and it is what it was declared as. `standing`: addresses of what is known
    already, and not yet there. Raises Invalid with every fault, each with its pointer, or the one failure there is, of its own
    kind."""
    found: dict[str, Source] = {}
    failures: list[MayflyError] = []
    for name, one in given.items():
        pointer = f"/inputs/{escape(name)}/path"
        try:
            known = (standing or {}).get(one.path or "")
            found[name] = _source(world, place, submission, name, one, pointer, known)
        except MayflyError as error:
            error.pointer = pointer
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        faults = [fault for error in failures for fault in error.all_faults()]
        raise Invalid("JobInvalid", f"{len(failures)} inputs of this job cannot be had.", pointer="", faults=faults)
    return found


def _source(
    world: World,
    place: Place,
    submission: Submission,
    name: str,
    given: DataInput,
    pointer: str,
    known: Found | None,
) -> Source:
    path = given.path or ""
    if refers(path) is Refers.LOCAL:
        if pointer not in submission.uploads:
            raise Invalid("UploadMissing", f"The files of input '{name}' were not sent.")
        tree = submission.uploads[pointer]
        return Source(given, Found(path, pointer in submission.files, tree))
    found = known or data.find(world, place, path, type=given.type)
    note = ""
    if given.type == "uri_file" and not found.is_file and found.asset is None:
        raise Invalid(
            "InputIsAFolder", f"'{found.reference}' is a folder, not a file.", remedy="Write 'type: uri_folder'."
        )
    if given.type == "uri_file" and not found.is_file:
        note = f"inputs.{name}: {found.reference} is a folder; the command gets the folder"
    elif given.type == "uri_folder" and found.is_file:
        note = f"inputs.{name}: {found.reference} is a single file; the command gets the file"
    if found.is_mapped and given.mode == "direct":
        note = f"inputs.{name}: {found.reference} is mapped to a local path, so the command gets a path instead of it"
    return Source(given, found, note)


def told(name: str, source: Source) -> dict[str, Any]:
    """What the node is told of it (`wire.agent.DataInput`)."""
    found, mode = source.found, source.given.mode
    if mode is None or (mode == "direct" and found.is_mapped):
        mode = "ro_mount"
    return {
        "name": name,
        "tree": found.tree,
        "is_file": found.is_file,
        "mode": mode,
        "type": source.given.type,
        "address": _address(found),
    }


def _address(found: Found) -> str:
    if found.asset is not None and found.asset.place:
        return found.asset.place
    return address_of(found.reference, found.tree)


def address_of(reference: str, tree: str) -> str:
    """Where that can be read: files that came with the job lie in the default datastore."""
    sent = _sent(reference, tree)
    return f"azureml://datastores/{datastores.DEFAULT}/paths/{sent}" if sent else reference


def _sent(reference: str, tree: str) -> str:
    """Where in the default datastore the files that came with the job lie; '' for what lay somewhere before."""
    if not tree or refers(reference) is not Refers.LOCAL:
        return ""
    name = posixpath.basename(posixpath.normpath(local(reference).replace("\\", "/")))
    return f"LocalUpload/{tree}/{name.lstrip('.')}".rstrip("/")


def trace(unit: Unit, job: JobRow, found: Mapping[str, Source], now: Millis) -> None:
    """In the unit that keeps a job: what it was given, and what it sent itself can be read where that says."""
    lineage.add(unit, job.workspace, job.job.id, _links(found))
    for one in found.values():
        if path := _sent(one.found.reference, one.found.tree):
            laid = Placement(path, one.found.tree, one.found.is_file)
            placements.place(unit, job.workspace, datastores.DEFAULT, laid, now, job=job.job.id, attempt=0)


def kept(found: Mapping[str, Source]) -> dict[str, dict[str, str]]:
    """Where inputs elsewhere are read, as the job's row keeps it."""
    return {name: asdict(one.found.outside) for name, one in found.items() if one.found.outside is not None}


def _links(found: Mapping[str, Source]) -> list[Link]:
    made = []
    for name, one in found.items():
        link = Link("input", name, address_of(one.found.reference, one.found.tree), tree=one.found.tree or None)
        asset = one.found.asset
        if asset is not None:
            link = replace(link, kind=asset.kind, asset=asset.name, version=asset.version)
        made.append(link)
    return made


# --- for nodes --------------------------------------------------------------------------------------------------------


def listing(world: World, node: str, ask: agent.DataAsk) -> agent.DataListing:
    """What lies behind an input elsewhere, or at an address that its MLTable names. Raises Forbidden `AttemptFenced`,
    `InputOfAnother`, Invalid `TooManyFiles`, and what the storage raises."""
    there = _there(world, node, ask.fence, ask.input, ask.address)
    if isinstance(there, Tree):
        held = (agent.DataEntry(path=one.path, size=one.size, version=one.digest) for one in there.entries)
        return agent.DataListing(entries=tuple(held))
    place = datastores.opened(world, there)
    entries = []
    for entry in world.storage.list(place):
        if len(entries) >= MOST_FILES:
            raise Invalid("TooManyFiles", f"More than {MOST_FILES} files lie at '{place.address}'.")
        entries.append(agent.DataEntry(path=entry.path, size=entry.size, version=entry.version))
    return agent.DataListing(entries=tuple(entries))


def read(
    world: World,
    node: str,
    fence: agent.Fence,
    name: str,
    path: str,
    offset: int,
    length: int | None,
    version: str,
    address: str = "",
) -> Iterator[bytes]:
    """The bytes of one file of `listing`. Raises as that does, Conflict `DataChanged` and NotFound `DataNotFound`; all
    but the last bytes' before anything is given."""
    there = _there(world, node, fence, name, address)
    if isinstance(there, Tree):
        return world.content.open(_held(there, path, version, address), offset, length)
    place = datastores.opened(world, there)
    if ".." in path.split("/"):
        raise Invalid("AddressInvalid", f"{path!r} is no path below an input.")
    pieces = world.storage.read(place, path, offset, length, version)
    first = next(pieces, b"")

    def chunks() -> Iterator[bytes]:
        yield first
        yield from pieces

    return chunks()


def _held(tree: Tree, path: str, version: str, address: str) -> Digest:
    entry = next((one for one in tree.entries if one.path == path), None)
    if entry is None:
        raise NotFound("DataNotFound", f"There is no file {path!r} at '{address}'.")
    if version not in ("", entry.digest):
        raise Conflict("DataChanged", f"{path!r} at '{address}' was changed while it was read.")
    return Digest(entry.digest)


def _there(world: World, node: str, fence: agent.Fence, name: str, address: str) -> Outside | Tree:
    """`address`: one that the input's MLTable names. The node evaluates the table, the server opens the address with
    the keys of the job's workspace, or its own store, as it would for an input of its own."""
    row = outputs.live(world, node, fence)
    work = codec.load(row.work)
    if not address:
        found = work.get("sources", {}).get(name)
        if found is None:
            raise Forbidden("InputOfAnother", f"The job has no input '{name}' elsewhere.")
        return Outside(**found)
    mine = next((one for one in work["inputs"] if one["name"] == name), None)
    if mine is None or mine["mode"] not in EVALUATED:
        raise Forbidden("InputOfAnother", f"The job has no input '{name}' that names other addresses.")
    workspace = world.store.read(lambda connection: workspaces.get(connection, row.workspace))
    place = Place(workspace.subscription, workspace.resource_group, workspace.name)
    named = data.find(world, place, address)
    return named.outside or world.trees.read(world.content, named.tree)
