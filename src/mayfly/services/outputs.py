"""Outputs: where each belongs, what is laid there when a rank has collected, and what becomes an asset when the job is
Completed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mayfly.domain import references
from mayfly.domain.job import JobState
from mayfly.domain.references import AssetKind, DatastoreReference
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, Forbidden, Invalid, MayflyError, NotFound
from mayfly.kit.expressions import Reference, render
from mayfly.kit.ids import Digest
from mayfly.services import assets, datastores, places
from mayfly.services.assets import NewAsset
from mayfly.services.attempts import holder
from mayfly.services.data import MODEL_TYPES
from mayfly.services.datastores import DEFAULT, Outside
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec.document import escape
from mayfly.spec.models import Output
from mayfly.store import assets as asset_rows
from mayfly.store import codec, jobs, lineage, results
from mayfly.store import datastores as datastore_rows
from mayfly.store.attempts import RankRow
from mayfly.store.datastores import Placement
from mayfly.store.jobs import JobRow
from mayfly.store.lineage import Link
from mayfly.store.results import OutputRow
from mayfly.store.unit import Unit
from mayfly.store.workspaces import Workspace
from mayfly.transfer import subtrees
from mayfly.wire import agent

ARTIFACTS = "workspaceartifactstore"
"""Where a job's own artifact root lies."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an output belongs, as the job's row keeps it (`work["targets"]`)."""

    workspace: str
    datastore: str
    path: str
    address: str = ""
    """Elsewhere; '' in a datastore of Mayfly's own."""
    asset: str = ""
    """The name it is registered under when the job is Completed; '' for none."""
    version: str | None = None
    type: str = "uri_folder"
    description: str | None = None

    @property
    def reference(self) -> str:
        return str(DatastoreReference(self.datastore, self.path))

    @property
    def kind(self) -> AssetKind:
        return AssetKind.MODEL if self.type in MODEL_TYPES else AssetKind.DATA


def targets(world: World, workspace: Workspace, job: str, given: Mapping[str, Output]) -> dict[str, Target]:
    """Where each output will lie. Raises what is wrong with one, with its pointer: Invalid `OutputPathInvalid`,
    `PathLeavesDatastore`, `ExpressionUndefined`; NotFound `DatastoreNotFound`; Forbidden `DataForbidden`; Conflict
    `AssetVersionTaken`."""
    found = {}
    for name, output in given.items():
        try:
            target = _target(world, workspace, job, name, output)
        except MayflyError as error:
            error.pointer = error.pointer or f"/outputs/{escape(name)}/path"
            raise
        _check_asset(world, workspace, name, target)
        found[name] = target
    return found


def told(name: str, output: Output, target: Target) -> dict[str, Any]:
    """What the node is told of it (`wire.agent.NamedOutput`)."""
    is_file = output.type == "uri_file"
    file_name = target.path.rpartition("/")[2] if is_file and output.path is not None else ""
    return {
        "name": name,
        "is_file": is_file,
        "mode": output.mode,
        "type": output.type,
        "file_name": file_name if file_name != name else "",
        "address": target.address or target.reference,
        "outside": bool(target.address),
    }


def _target(world: World, workspace: Workspace, job: str, name: str, output: Output) -> Target:
    values = {"name": job, "output_name": name, "default_datastore": DEFAULT}

    def value(reference: Reference) -> str:
        if len(reference.path) != 1 or reference.path[0] not in values:
            raise Invalid(
                "ExpressionUndefined",
                f"{reference} is not known in an output's path.",
                remedy="Write ${{name}}, ${{output_name}} or ${{default_datastore}}.",
            )
        return values[reference.path[0]]

    text = output.path or "azureml://datastores/${{default_datastore}}/paths/azureml/${{name}}/${{output_name}}"
    reference = references.parse(render(text, value))
    if not isinstance(reference, DatastoreReference) or not reference.path or len(reference.path) > 1000:
        raise Invalid(
            "OutputPathInvalid",
            f"An output cannot be written to '{output.path}'.",
            remedy="Write azureml://datastores/NAME/paths/PATH, or leave 'path' out.",
        )
    owner = workspace
    if reference.workspace is not None:
        there = reference.workspace
        owner = places.find(world, Place(there.subscription, there.resource_group, there.workspace))
    address = ""
    if not datastores.own(reference.datastore):
        outside = datastores.outside(world, owner.id, reference)
        address = outside.address
        try:
            world.storage.is_file(datastores.opened(world, outside))
        except NotFound:
            pass  # it is made by writing
    return Target(
        workspace=owner.id,
        datastore=reference.datastore,
        path=reference.path,
        address=address,
        asset=output.name or "",
        version=output.version,
        type=output.type,
        description=output.description,
    )


def _check_asset(world: World, workspace: Workspace, name: str, target: Target) -> None:
    if not target.asset:
        return
    place = f"/outputs/{escape(name)}"
    try:
        assets.check_names(NewAsset(target.kind, target.asset, target.version, target.type))
    except Invalid as error:
        error.pointer = f"{place}{error.pointer}"
        raise
    if target.version is None:
        return
    version = target.version
    there = world.store.read(lambda c: asset_rows.find(c, workspace.id, target.kind, target.asset, version))
    if there is not None:
        raise Conflict(
            "AssetVersionTaken",
            f"Version {version} of the {target.kind.value} '{target.asset}' exists already.",
            remedy="Choose another version, or leave 'version' out and get the next number.",
            pointer=f"{place}/version",
        )


# --- what has been collected ------------------------------------------------------------------------------------------


def collected(world: World, unit: Unit, row: JobRow, rank: RankRow, report: agent.Collected, now: Millis) -> None:
    """In the unit that applies the report: the outputs lie where they belong, and when this made the job (`row`, after it has moved)
    Completed its assets are there too. Called once for each rank of a fence."""
    kept = _targets(row)
    for output in report.outputs:
        target = kept.get(output.name)
        if target is None:
            target = (
                Target(row.workspace, ARTIFACTS, f"ExperimentRun/dcid.{row.name}") if output.name == "default" else None
            )
        if target is None or target.address:
            continue
        single = output.files == 1 and _single(row, output.name)
        laid = Placement(target.path, output.tree, single)
        datastore_rows.place(unit, target.workspace, target.datastore, laid, now, job=row.job.id, attempt=rank.attempt)
    if row.job.state is JobState.COMPLETED:
        made = results.outputs_of(unit.connection, row.job.id, row.job.attempt)
        _complete(world, unit, row, kept, made, now)
    elif row.job.state.terminal:
        _trace(unit, row, {name: (target, None) for name, target in kept.items()})


def inherited(world: World, unit: Unit, row: JobRow, left: list[OutputRow], now: Millis) -> None:
    """In the unit that gives a job another's results: they lie where its own would, and are registered as its own."""
    kept = _targets(row)
    for output in left:
        target = kept.get(output.name)
        if output.name == "default":
            target = Target(row.workspace, ARTIFACTS, f"ExperimentRun/dcid.{row.name}")
        if target is not None and output.rank == 0:
            laid = Placement(target.path, output.tree, output.files == 1 and _single(row, output.name))
            datastore_rows.place(unit, target.workspace, target.datastore, laid, now, job=row.job.id, attempt=0)
    _complete(world, unit, row, kept, left, now)


def of_pipeline(unit: Unit, row: JobRow, output: OutputRow, now: Millis, *, is_file: bool) -> None:
    """In the unit that ends a pipeline: what is its own lies under its own name too."""
    path = _own_path(row, output.name)
    laid = Placement(path, output.tree, is_file and output.files == 1)
    datastore_rows.place(unit, row.workspace, DEFAULT, laid, now, job=row.job.id, attempt=0)
    link = Link("output", output.name, str(DatastoreReference(DEFAULT, path)), tree=output.tree)
    lineage.add(unit, row.workspace, row.job.id, [link])


def lying(world: World, row: JobRow) -> dict[str, DatastoreReference]:
    """Where in Mayfly's own storage each named output lies, of those that have files."""
    made = world.store.read(lambda connection: results.outputs_of(connection, row.job.id, row.job.attempt))
    names = [one.name for one in made if one.files and one.name != "default"]
    if row.job.composite:
        return {name: DatastoreReference(DEFAULT, _own_path(row, name)) for name in names}
    kept = _targets(row)
    return {
        name: DatastoreReference(kept[name].datastore, kept[name].path)
        for name in names
        if name in kept and not kept[name].address
    }


def _own_path(row: JobRow, output: str) -> str:
    return f"azureml/{row.name}/{output}"


def _complete(
    world: World, unit: Unit, row: JobRow, kept: Mapping[str, Target], rows: list[OutputRow], now: Millis
) -> None:
    made: dict[str, tuple[Target, asset_rows.AssetRow | None]] = {}
    for name, target in kept.items():
        mine = [one for one in rows if one.name == name]
        asset = _register(world, unit, row, name, target, mine, now) if target.asset and mine else None
        made[name] = (target, asset)
    _trace(unit, row, made)


def _register(
    world: World, unit: Unit, row: JobRow, name: str, target: Target, mine: list[OutputRow], now: Millis
) -> asset_rows.AssetRow:
    files = sum(one.files for one in mine)
    new = NewAsset(
        kind=target.kind,
        name=target.asset,
        version=target.version,
        type=target.type,
        description=target.description,
        place=target.reference,
        tree=whole(world, mine),
        is_file=files == 1 and _single(row, name),
        job=row.name,
    )
    try:
        return assets.keep(unit, row.workspace, row.submitter, new, now)[0]
    except Conflict:  # somebody took the version while the job ran: what it made is not lost for that
        asset = assets.keep(unit, row.workspace, row.submitter, replace(new, version=None), now)[0]
        said = f"outputs.{name}: version {target.version} was taken meanwhile; it is version {asset.version}."
        jobs.add_note(unit, row, said)
        return asset


def whole(world: World, mine: list[OutputRow]) -> str:
    """The tree of an output over all nodes; those of lower rank come first."""
    ordered = sorted(mine, key=lambda one: one.rank)
    if len({one.tree for one in ordered}) == 1:
        return ordered[0].tree
    return datastores.keep_tree(world, subtrees.merged(datastores.read_tree(world, one.tree) for one in ordered))


def _trace(unit: Unit, row: JobRow, made: Mapping[str, tuple[Target, asset_rows.AssetRow | None]]) -> None:
    links = [
        Link(
            "output",
            name,
            target.reference,
            None if asset is None else asset.kind,
            None if asset is None else asset.name,
            None if asset is None else asset.version,
            None if asset is None else asset.tree,
        )
        for name, (target, asset) in made.items()
    ]
    lineage.add(unit, row.workspace, row.job.id, links)


def _targets(row: JobRow) -> dict[str, Target]:
    return {name: Target(**one) for name, one in codec.load(row.work).get("targets", {}).items()}


def _single(row: JobRow, name: str) -> bool:
    return any(one["name"] == name and one["is_file"] for one in codec.load(row.work)["outputs"])


# --- elsewhere --------------------------------------------------------------------------------------------------------


def publish(world: World, node: str, ask: agent.Publish) -> None:
    """Put a collected output where it belongs elsewhere. May be repeated: files are replaced one by one, each whole.
    Raises Forbidden `AttemptFenced`, NotFound `OutputNotFound`, and what the storage raises."""
    row = live(world, node, ask.fence)
    target = _targets(row).get(ask.name)
    if target is None or not target.address:
        raise NotFound("OutputNotFound", f"The job '{row.name}' has no output '{ask.name}' elsewhere.")
    tree = datastores.read_tree(world, ask.tree)
    place = datastores.opened(world, Outside(target.address, target.workspace, target.datastore))
    single = len(tree.entries) == 1 and _single(row, ask.name)
    for entry in tree.entries:
        world.storage.write(place, "" if single else entry.path, _chunks(world, entry.digest))


def _chunks(world: World, digest: str) -> Iterator[bytes]:
    return world.content.open(Digest(digest))


def live(world: World, node: str, fence: agent.Fence) -> JobRow:
    """The job of a fence, when this node works for it now. Raises Forbidden `AttemptFenced`."""

    row = world.store.read(lambda connection: holder(world, connection, node, fence))
    if row is None:
        raise Forbidden("AttemptFenced", "This attempt may not read or publish any more.")
    return row
