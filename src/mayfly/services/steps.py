"""The steps of a pipeline as its children: begun, refused, and what they made of it at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mayfly.domain.compute import ResourceRequest
from mayfly.domain.job import Cause, Job, JobState
from mayfly.domain.life import ChildrenEnded, JobEvent, Rejected
from mayfly.domain.pipeline import Graph
from mayfly.domain.queue import ClassKey
from mayfly.kit.errors import Conflict, Invalid, MayflyError, Unavailable
from mayfly.kit.ids import JobId
from mayfly.services import outputs, submissions, values
from mayfly.services import submit as submitting
from mayfly.services.graphs import graph_of
from mayfly.services.moves import move
from mayfly.services.places import Place
from mayfly.services.submit import Parent
from mayfly.services.world import World
from mayfly.spec import level as levels
from mayfly.spec.child import OutputOf, child_of
from mayfly.spec.document import escape
from mayfly.spec.holders import is_pipeline
from mayfly.spec.level import Level
from mayfly.store import children as child_rows
from mayfly.store import codec, jobs, results, workspaces
from mayfly.store.children import ChildRow
from mayfly.store.jobs import JobRow
from mayfly.store.results import OutputRow
from mayfly.store.unit import Unit
from mayfly.wire.mayfly import Submission

_NAME = 255


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a pipeline's row never changes, read once."""

    row: JobRow
    level: Level
    graph: Graph
    place: Place
    outputs: tuple[dict[str, Any], ...]
    uploads: Mapping[str, str] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Step → pointers of what was sent for it."""

    @property
    def parent(self) -> JobId:
        return root_of(self.row)


def root_of(row: JobRow) -> JobId:
    """The outermost of the jobs that it stands in."""
    return JobId(row.root or row.job.id)


def place_of(world: World, row: JobRow) -> Place:
    workspace = world.store.read(lambda connection: workspaces.get(connection, row.workspace))
    return Place(workspace.subscription, workspace.resource_group, workspace.name)


def plan_of(world: World, row: JobRow) -> Plan:
    work = codec.load(row.work)
    level, faults = levels.read(codec.load(row.spec))
    assert level is not None and not faults, f"{row.name} was accepted with {faults}"
    own: dict[str, list[str]] = {}
    for pointer in work["uploads"]:
        if pointer.startswith(f"{level.at}/jobs/"):
            own.setdefault(pointer.removeprefix(f"{level.at}/jobs/").split("/")[0], []).append(pointer)
    return Plan(
        row,
        level,
        graph_of(row),
        place_of(world, row),
        tuple(work["outputs"]),
        work["uploads"],
        frozenset(work["files"]),
        {step: tuple(pointers) for step, pointers in own.items()},
    )


def child_name(row: JobRow, step: str) -> str:
    """Always the same for one step of one pipeline, and nobody else's: that is what keeps a step from beginning twice."""
    mark = hashlib.sha256(f"{row.job.id}/{step}".encode()).hexdigest()[:8]
    shown = f"{row.name[:120]}-{step[:120].replace('[', '-').replace(']', '')}"
    return f"{shown[: _NAME - 9]}-{mark}"


def start(world: World, plan: Plan, step: str, children: Mapping[str, ChildRow]) -> ChildRow | None:
    """Begin a step; the child that it is now, which may be over: it could not be accepted and has failed, or it has the results
    of one that did the same. May be repeated; None while the same step is under way elsewhere, and where its parent is not
    running any more. Raises Unavailable."""
    asked = ask_for(world, plan, step, children)
    return asked if isinstance(asked, ChildRow) else accepted(world, plan.row, plan.place, *asked)


def ask_for(
    world: World, plan: Plan, step: str, children: Mapping[str, ChildRow]
) -> tuple[Parent, Submission] | ChildRow:
    """A step as it is submitted; the child that has failed where it cannot even be asked for."""
    parent = Parent(plan.row.job.id, plan.parent, step, reuse=plan.level.reusable(step))
    named = {"name": child_name(plan.row, step), "experiment_name": plan.row.experiment}
    try:
        child = child_of(plan.level, step, made_by(world, children))
    except Invalid as error:
        submission = Submission(definition={**named, "display_name": step})
        return refuse(world, plan.row, parent, submission, plan.level.kind(step), error)
    return parent, sent(plan, step, {"display_name": step, **child.definition, **named}, child.moved)


def made_by(world: World, there: Mapping[str, ChildRow]) -> OutputOf:
    """What they made, or where it lies. It raises as `values.text_of`."""

    def output_of(sibling: str, output: str, value: bool) -> str | None:
        found = there.get(sibling)
        if found is None or found.state is not JobState.COMPLETED:
            return None
        return values.text_of(world, found, output) if value else f"azureml://jobs/{found.name}/outputs/{output}"

    return output_of


def accepted(world: World, above: JobRow, place: Place, parent: Parent, submission: Submission) -> ChildRow | None:
    """Begin a child of a job; as `start`."""
    try:
        row, _ = submissions.accept(world, above.submitter, place, submission, parent)
    except MayflyError as error:
        return unaccepted(world, above, parent, submission, error)
    return child_rows.seen(row)


def unaccepted(
    world: World, above: JobRow, parent: Parent, submission: Submission, error: MayflyError
) -> ChildRow | None:
    """What becomes of a child that could not be accepted: None where it is tried again. Raises Unavailable."""
    if isinstance(error, Unavailable):
        raise error
    if isinstance(error, Conflict) and error.code in ("ParentEnded", "SameStepUnderWay"):
        return None
    kind = jobs.PIPELINE if is_pipeline(submission.definition) else "command"
    return refuse(world, above, parent, submission, kind, error)


def sent(plan: Plan, step: str, definition: dict[str, Any], moved: Mapping[str, str]) -> Submission:
    """With what was sent for it, by the places it has in the child's own definition."""
    place = plan.level.place(step)
    mine = {pointer[len(place) :]: pointer for pointer in plan.own.get(escape(step), ())}
    mine |= {own: written for own, written in moved.items() if written in plan.uploads}
    return Submission(
        definition=definition,
        uploads={own: plan.uploads[written] for own, written in mine.items()},
        files=[own for own, written in mine.items() if written in plan.files],
        source_name=plan.row.name,
    )


def refuse(
    world: World, above: JobRow, parent: Parent, submission: Submission, kind: str, error: MayflyError
) -> ChildRow:
    """Keep a step that cannot be accepted as a job that failed before it began."""
    fault = error.all_faults()[0]
    more = len(error.all_faults()) - 1
    also = f" ({more} more like it.)" if more else ""
    cause = Cause(fault.code, f"{fault.message}{also}", fault.remedy or error.remedy)
    return keep(world, bare(world, above, parent, submission, kind), Rejected(cause))


def bare(
    world: World,
    above: JobRow,
    parent: Parent,
    submission: Submission,
    kind: str,
    *,
    nodes: int = 1,
    spec: Mapping[str, Any] | None = None,
    work: Mapping[str, Any] | None = None,
    properties: Mapping[str, str] | None = None,
) -> JobRow:
    """A child that asks for nothing, named in its submission."""
    now = world.clock.now()
    request = codec.request_json(ResourceRequest())
    identity = ClassKey(above.workspace, above.subscription, above.submitter, 0, request)
    row = JobRow(
        sequence=0,
        workspace=above.workspace,
        subscription=above.subscription,
        name=str(submission.definition["name"]),
        type=kind,
        display_name=str(submission.definition["display_name"]),
        description=None,
        experiment=above.experiment,
        tags={},
        properties=dict(properties or {}),
        submitter=above.submitter,
        definition_digest="",
        body=submission.model_dump_json(),
        spec=codec.dump(dict(spec or {})),
        work=codec.dump(dict(work or {"inputs": [], "outputs": [], "command": ""})),
        notes=[],
        request=request,
        class_key=codec.class_text(identity),
        priority=0,
        environment="",
        run=world.ids.run(),
        explanation=None,
        job=Job(id=JobId(world.ids.new("job")), node_count=nodes, created_at=now, phase_since=now),
    )
    return submitting.under(row, parent)


def keep(world: World, row: JobRow, *events: JobEvent) -> ChildRow:
    """Keep a child and what happens to it at once. May be repeated."""

    def write(unit: Unit) -> JobRow:
        existing = jobs.by_name(unit.connection, row.workspace, row.name)
        if existing is not None and existing.parent == row.parent:
            return existing
        name = row.name if existing is None else f"{row.name[:200]}-{row.job.id}"  # a stranger has its name
        kept = replace(row, name=name)
        kept = replace(kept, sequence=jobs.add(unit, kept))
        for event in events:
            kept = move(unit, kept, event, row.job.created_at)
        unit.passing("step started")
        unit.wake("pipelines")
        return kept

    return child_rows.seen(world.store.write(write))


def end(world: World, plan: Plan, cause: Cause | None, there: Mapping[str, ChildRow]) -> None:
    """The pipeline has ended: its outputs, of the steps that made them, in the unit that says so. May be repeated."""
    made = [
        found
        for one in plan.outputs
        if (child := there.get(one["step"])) is not None
        and child.state is JobState.COMPLETED
        and (found := values.output(world, child, one)) is not None
    ]
    finish(world, plan.row.job.id, made, cause)


def finish(world: World, job: JobId, made: list[OutputRow], cause: Cause | None) -> None:
    """The end of a job that has only children, with its outputs. May be repeated."""
    now = world.clock.now()

    def write(unit: Unit) -> None:
        row = jobs.lock(unit, job)
        if row is None or row.job.state.terminal:
            return
        files = {one["name"] for one in codec.load(row.work)["outputs"] if one.get("is_file")}
        for one in made:
            results.add_output(unit, row.job.id, 0, one)
            outputs.of_pipeline(unit, row, one, now, is_file=one.name in files)
        move(unit, row, ChildrenEnded(cause), now)
        unit.passing("pipeline ended")

    world.store.write(write)
