"""Pipelines on their way in: completed with the components that only the server knows, checked whole, kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mayfly.domain import references
from mayfly.domain.compute import ResourceRequest
from mayfly.domain.job import Job
from mayfly.domain.life import Begun
from mayfly.domain.queue import ClassKey
from mayfly.domain.references import DatastoreReference
from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.kit.ids import JobId
from mayfly.services import components, data, inputs, outputs, places
from mayfly.services import submit as command_submit
from mayfly.services.data import Found
from mayfly.services.environments import CONTEXT
from mayfly.services.inputs import Source
from mayfly.services.moves import move
from mayfly.services.places import Place
from mayfly.services.submit import Beside, Parent
from mayfly.services.world import World
from mayfly.spec import job as command
from mayfly.spec import pipeline as spec
from mayfly.spec.document import escape
from mayfly.spec.job import CommandJob
from mayfly.spec.level import STAND_IN
from mayfly.spec.models import DataInput, is_one_file
from mayfly.spec.normal import definition_digest
from mayfly.spec.paths import Refers, refers
from mayfly.spec.pipeline import Pipeline, Step
from mayfly.store import codec, jobs
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Unit
from mayfly.store.workspaces import Workspace
from mayfly.wire.mayfly import Submission

_UNCOUNTED = (
    "name",
    "display_name",
    "description",
    "tags",
    "properties",
    "$schema",
    "id",
    "status",
    "creation_context",
)
"""What may change while it stays the same pipeline."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline understood: every step legal, placed in principle; not yet kept."""

    pipeline: Pipeline
    submission: Submission
    """Every component in its place."""
    workspace: Workspace
    notes: list[str]
    sources: dict[str, Source]
    """What it is given itself."""


def prepare(world: World, place: Place, submission: Submission) -> Prepared:
    """Raises Invalid with every fault of every step, or the one failure there is, of its own kind: those of
    `spec.pipeline.parse`, of `components.completed`, of `submit.prepare` for what does not wait for another step."""
    made, complete, missing = _read(world, place, submission)
    if not missing:
        components.check_sent(world, made.local_paths(), complete.uploads)
    workspace, said = places.create(world, place)
    notes = [*made.notes(), *([said] if said else [])]
    failures: list[tuple[MayflyError, Fault]] = [(command.invalid(missing), fault) for fault in missing]
    looked = _Looks(world, place, workspace, complete, _laid(made))
    for path, at, step in made.commands():
        try:
            notes += [note for note in looked.at(path, at, step) if note not in notes]
        except MayflyError as error:
            failures += [(error, fault) for fault in _told(error, at, step, path)]
    if len(failures) == 1:
        error, fault = failures[0]
        raise type(error)(fault.code, fault.message, remedy=fault.remedy, pointer=fault.pointer) from error
    if failures:
        raise command.invalid([fault for _, fault in failures])
    return Prepared(made, complete, workspace, notes, _sources(world, place, made, complete))


def _sources(world: World, place: Place, made: Pipeline, submission: Submission) -> dict[str, Source]:
    """What data it is given, as far as that can be told without a look elsewhere."""
    found = {}
    for name, told in made.level.inputs.items():
        if not isinstance(told, Mapping) or not isinstance(path := told.get("path"), str):
            continue
        at = made.level.written.get(name, "")
        one = Found(references.shown(path), at in submission.files, submission.uploads.get(at, ""))
        if refers(path) is Refers.ASSET:
            with suppress(MayflyError):  # its steps say what is wrong with it
                one = data.find(world, place, path, type=str(told.get("type", "uri_folder")))
        found[name] = Source(DataInput(path=path), one)
    return found


def understood(world: World, place: Place, submission: Submission) -> tuple[Pipeline, Submission]:
    """The pipeline and the submission with every component in its place. Raises Invalid with every fault."""
    made, complete, missing = _read(world, place, submission)
    if missing:
        raise command.invalid(missing)
    return made, complete


def _read(world: World, place: Place, submission: Submission) -> tuple[Pipeline, Submission, list[Fault]]:
    """As `understood`, with what is to be said of components that are not there, which stay as they were written."""
    complete, missing = components.completed(world, place, submission)
    try:
        made = spec.parse(complete.definition)
    except Invalid as error:
        raise command.invalid([*missing, *error.all_faults()]) from error
    return made, complete, missing


class _Looks:
    """Looking at steps as far as they do not wait for others. Steps that ask for the same are looked at once."""

    def __init__(
        self, world: World, place: Place, workspace: Workspace, submission: Submission, laid: list[_Laid]
    ) -> None:
        self._world = world
        self._place = place
        self._workspace = workspace
        self._submission = submission
        self._laid = laid
        self._admitted: dict[str, list[str] | MayflyError] = {}

    def at(self, path: str, place: str, step: Step) -> list[str]:
        """The notes about it. `place`: pointer of its level."""
        job = step.job
        assert isinstance(job, CommandJob)
        own = step.expanded.definition if step.expanded is not None else dict(step.definition)
        context = self._submission.uploads.get(place + step.back(CONTEXT))
        uploads = {} if context is None else {CONTEXT: context}
        plain = self._submission.model_copy(update={"definition": own, "uploads": uploads, "files": []})
        keys = ("environment", "resources", "queue_settings", "compute")
        asked = codec.dump([context, *(own.get(key) for key in keys)])
        if asked not in self._admitted:
            try:
                admitted = command_submit.admit(self._world, self._place, self._workspace, plain, job)
                self._admitted[asked] = admitted.notes
            except MayflyError as error:
                self._admitted[asked] = error
        notes = self._admitted[asked]
        if isinstance(notes, MayflyError):
            raise notes
        outputs.targets(self._world, self._workspace, step.name, job.outputs)
        elsewhere = {name: one for name, one in job.data_inputs.items() if not _comes_later(job, name)}
        awaited = self._awaited(path, plain, elsewhere)
        found = inputs.sources(
            self._world, self._place, plain, {name: one for name, one in elsewhere.items() if name not in awaited}
        )
        said = [*(one.note for one in found.values() if one.note), *awaited.values()]
        return [*notes, *(f"{step.name}: {note}" for note in said)]

    def _awaited(self, path: str, plain: Submission, given: Mapping[str, DataInput]) -> dict[str, str]:
        """Inputs whose place holds nothing yet and is where another step will write → the note about it. They are found
        when the step begins."""
        found = {}
        for name, one in given.items():
            writer = next((laid.step for laid in self._laid if laid.step != path and laid.meets(one.path)), None)
            if writer is None:
                continue
            try:
                inputs.sources(self._world, self._place, plain, {name: one})
            except MayflyError as error:
                if error.code == "DataNotFound":
                    found[name] = (
                        f"inputs.{name}: nothing is at {one.path} before the step '{writer}' has written there"
                    )
        return found


@dataclass(frozen=True, slots=True)
class _Laid:
    """Where in a datastore a step will write, as far as it is known before it has a name."""

    step: str
    datastore: str
    parts: tuple[str, ...]

    def meets(self, path: str | None) -> bool:
        """Whether what is written there will lie at, below or around that path."""
        where = _in_datastore(path)
        if where is None or where.datastore != self.datastore:
            return False
        return all(mine == other for mine, other in zip(self.parts, where.path.split("/"), strict=False))


def _laid(made: Pipeline) -> list[_Laid]:
    found = []
    for path, _, step in made.commands():
        assert isinstance(step.job, CommandJob)
        for output in step.job.outputs.values():
            known, expression, _ = (output.path or "").partition("${{")
            where = _in_datastore(known.rpartition("/")[0] if expression else known)
            if where is not None and where.path:
                found.append(_Laid(path, where.datastore, tuple(where.path.split("/"))))
    return found


def _in_datastore(path: str | None) -> DatastoreReference | None:
    try:
        reference = references.parse(path or "")
    except Invalid:
        return None
    return reference if isinstance(reference, DatastoreReference) else None


def _comes_later(job: CommandJob, name: str) -> bool:
    """Whether an input is another step's output, or was sent with the pipeline and checked already."""
    path = job.data_inputs[name].path or ""
    return path == STAND_IN or f"/inputs/{escape(name)}/path" in job.local_paths()


def _told(error: MayflyError, at: str, step: Step, path: str) -> Iterator[Fault]:
    for fault in error.all_faults():
        pointer = at + step.back(fault.pointer) if fault.pointer is not None else at + step.place
        yield replace(fault, pointer=pointer, message=f"Step '{path}': {fault.message}")


# --- kept -------------------------------------------------------------------------------------------------------------


def submit(
    world: World,
    submitter: str,
    place: Place,
    submission: Submission,
    parent: Parent | None = None,
    beside: Beside | None = None,
) -> tuple[JobRow, bool]:
    """Accept a pipeline; as `services.submit.submit`."""
    prepared = prepare(world, place, submission)
    row = command_submit.under(_row(world, submitter, prepared), parent)

    def keep(unit: Unit) -> tuple[JobRow, bool]:
        existing = jobs.by_name(unit.connection, row.workspace, row.name)
        if existing is not None:
            return command_submit.same(unit, existing, row), False
        command_submit.check_parent(unit, row)
        sequence = jobs.add(unit, row)
        inputs.trace(unit, row, prepared.sources, row.job.created_at)
        unit.passing("job accepted")
        unit.wake("pipelines")
        return move(unit, replace(row, sequence=sequence), Begun(), row.job.created_at), True

    return command_submit.once(world, keep, beside)


def _row(world: World, submitter: str, prepared: Prepared) -> JobRow:
    made, submission, now = prepared.pipeline, prepared.submission, world.clock.now()
    fields, workspace = made.level.fields, prepared.workspace
    name = fields.name or submission.name or world.ids.name()
    kept = {key: value for key, value in submission.definition.items() if key not in _UNCOUNTED and value is not None}
    normal = {"type": jobs.PIPELINE, "definition": kept, "uploads": submission.uploads}
    request = ResourceRequest()
    identity = ClassKey(workspace.id, workspace.subscription, submitter, 0, codec.request_json(request))
    return JobRow(
        sequence=0,
        workspace=workspace.id,
        subscription=workspace.subscription,
        name=name,
        type=jobs.PIPELINE,
        display_name=fields.display_name or name,
        description=fields.description,
        experiment=fields.experiment_name or submission.working_folder_name or "Default",
        tags=command_submit.labels(fields.tags),
        properties=command_submit.labels(fields.properties) | command_submit.git_labels(submission),
        submitter=submitter,
        definition_digest=definition_digest(normal),
        body=submission.model_dump_json(),
        spec=json.dumps(kept, ensure_ascii=False),  # in the order it was written: that is how its steps are shown
        work=codec.dump(_work(made, submission)),
        notes=prepared.notes,
        request=codec.request_json(request),
        class_key=codec.class_text(identity),
        priority=0,
        environment="",
        run=world.ids.run(),
        explanation=None,
        job=Job(id=JobId(world.ids.new("job")), node_count=0, created_at=now, phase_since=now),
    )


def _work(made: Pipeline, submission: Submission) -> dict[str, Any]:
    """What its duty needs beside the definition."""
    outputs = []
    for name, source in ((name, source) for name, sources in made.sources.items() for source in sources):
        types = made.level.output_types(source.step) or {}
        outputs.append(
            {
                "name": name,
                "is_file": is_one_file(types.get(source.output, "")),
                "step": source.step,
                "output": source.output,
            }
        )
    return {
        "needs": [[name, dict(step.needs)] for name, step in made.steps.items()],  # a list: it keeps its order
        "chosen": {name: dict(choices) for name, choices in made.chosen.items()},
        "continues": made.level.fields.settings.continue_on_step_failure,
        "outputs": outputs,
        "uploads": submission.uploads,
        "files": submission.files,
    }
