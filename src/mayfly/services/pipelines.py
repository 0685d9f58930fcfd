"""Pipelines on their way in: completed with the components that only the server knows, and checked whole before anything
is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.services import components, inputs, outputs, places, submit
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec import job as command
from mayfly.spec import pipeline as spec
from mayfly.spec.document import escape
from mayfly.spec.job import CommandJob
from mayfly.spec.pipeline import STAND_IN, Pipeline, Step
from mayfly.store import codec
from mayfly.store.workspaces import Workspace
from mayfly.wire.mayfly import Submission


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline understood: every step legal, placed in principle; not yet kept."""

    pipeline: Pipeline
    submission: Submission
    """Every component in its place."""
    workspace: Workspace
    notes: list[str]


def prepare(world: World, place: Place, submission: Submission) -> Prepared:
    """Raises Invalid with every fault of every step, or the one failure there is, of its own kind: those of
    `spec.pipeline.parse`, of `components.completed`, of `submit.prepare` for what does not wait for another step."""
    complete, missing = components.completed(world, place, submission)
    try:
        made = spec.parse(complete.definition)
    except Invalid as error:
        raise command.invalid([*missing, *error.all_faults()]) from error
    if missing:
        raise command.invalid(missing)
    components.check_sent(world, made.local_paths(), complete.uploads)
    workspace, said = places.create(world, place)
    notes = [*made.notes(), *([said] if said else [])]
    failures: list[tuple[MayflyError, Fault]] = []
    looked = _Looks(world, place, workspace, complete)
    for path, at, step in made.commands():
        try:
            notes += [note for note in looked.at(step) if note not in notes]
        except MayflyError as error:
            failures += [(error, fault) for fault in _told(error, at, step, path)]
    if len(failures) == 1:
        error, fault = failures[0]
        raise type(error)(fault.code, fault.message, remedy=fault.remedy, pointer=fault.pointer) from error
    if failures:
        raise command.invalid([fault for _, fault in failures])
    return Prepared(made, complete, workspace, notes)


class _Looks:
    """Looking at steps as far as they do not wait for others. Steps that ask for the same are looked at once."""

    def __init__(self, world: World, place: Place, workspace: Workspace, submission: Submission) -> None:
        self._world = world
        self._place = place
        self._workspace = workspace
        self._submission = submission
        self._admitted: dict[str, list[str] | MayflyError] = {}

    def at(self, step: Step) -> list[str]:
        """The notes about it."""
        job = step.job
        assert isinstance(job, CommandJob)
        own = step.expanded.definition if step.expanded is not None else dict(step.definition)
        plain = self._submission.model_copy(update={"definition": own, "uploads": {}, "files": []})
        asked = codec.dump([own.get(key) for key in ("environment", "resources", "queue_settings", "compute")])
        if asked not in self._admitted:
            try:
                admitted = submit.admit(self._world, self._place, self._workspace, plain, job)
                self._admitted[asked] = admitted.notes
            except MayflyError as error:
                self._admitted[asked] = error
        notes = self._admitted[asked]
        if isinstance(notes, MayflyError):
            raise notes
        outputs.targets(self._world, self._workspace, step.name, job.outputs)
        elsewhere = {name: one for name, one in job.data_inputs.items() if not _comes_later(job, name)}
        found = inputs.sources(self._world, self._place, plain, elsewhere)
        return [*notes, *(f"{step.name}: {one.note}" for one in found.values() if one.note)]


def _comes_later(job: CommandJob, name: str) -> bool:
    """Whether an input is another step's output, or was sent with the pipeline and checked already."""
    path = job.data_inputs[name].path or ""
    return path == STAND_IN or f"/inputs/{escape(name)}/path" in job.local_paths()


def _told(error: MayflyError, at: str, step: Step, path: str) -> Iterator[Fault]:
    for fault in error.all_faults():
        pointer = at + step.back(fault.pointer) if fault.pointer is not None else at + step.place
        yield replace(fault, pointer=pointer, message=f"Step '{path}': {fault.message}")
