"""One step of a pipeline as a job of its own, reading what a former pipeline's steps made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mayfly.domain.job import JobState
from mayfly.kit.errors import Fault, Invalid
from mayfly.services import components, jobs, pipelines, values
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec import job as command
from mayfly.spec.document import escape
from mayfly.spec.excerpt import Excerpt, Made, excerpt, parts
from mayfly.spec.holders import is_pipeline
from mayfly.store import children as children_rows
from mayfly.store import jobs as rows
from mayfly.store.children import ChildRow
from mayfly.store.jobs import JobRow
from mayfly.wire.mayfly import Submission

STEP, INPUTS_FROM = "mayfly.step", "mayfly.inputsFrom"
"""Properties of the job: which step it is, and of which pipeline its inputs are."""


@contextmanager
def narrowed(world: World, place: Place, submission: Submission) -> Iterator[Submission]:
    """The submission of the step that `only` names (itself, where it names none). What is raised while it is used points
    to where it was written. Raises Invalid `NotAPipeline`, `StepUnknown`, `InputNotMade`, and what is wrong with the whole
    pipeline; NotFound for a former job that is not there."""
    if not submission.only:
        if submission.inputs_from:
            raise Invalid(
                "StepMissing", "inputs_from is for one step of a pipeline.", remedy="Name the step: --only STEP."
            )
        yield submission
        return
    if not is_pipeline(submission.definition):
        raise Invalid("NotAPipeline", "This file has no steps to choose from.", remedy="Leave out --only.")
    _, complete = pipelines.understood(world, place, submission)
    former = _former(world, place, submission.inputs_from)
    found = excerpt(complete.definition, parts(submission.only), lambda made, at: _value(world, former, made, at))
    places = _places(world, former, found)
    definition = {**found.filled(places), **_labels(complete, found)}
    with components.moved(found.back):
        yield submission.model_copy(
            update={
                "definition": definition,
                "uploads": found.forward(complete.uploads),
                "files": list(found.forward(dict.fromkeys(complete.files))),
                "only": "",
                "inputs_from": "",
            }
        )


def _labels(whole: Submission, found: Excerpt) -> dict[str, object]:
    """What it has of the pipeline, and what tells that it was alone."""
    own, given = found.definition, whole.definition
    labels = own.get("properties")
    properties = {**(labels if isinstance(labels, dict) else {}), STEP: found.shown}
    if whole.inputs_from:
        properties[INPUTS_FROM] = whole.inputs_from
    taken = {key: given[key] for key in ("name", "experiment_name") if given.get(key) is not None}
    return {"display_name": own.get("display_name") or found.shown, **taken, "properties": properties}


def _former(world: World, place: Place, name: str) -> JobRow | None:
    row = jobs.find(world, place, name) if name else None
    if row is not None and row.type != rows.PIPELINE:
        raise Invalid("NotAPipeline", f"The job '{name}' is no pipeline; inputs come from one that ran before.")
    return row


def _value(world: World, former: JobRow | None, made: Made, pointer: str) -> str:
    child = None if former is None else _child(world, former, made.step)
    if child is None or child.state is not JobState.COMPLETED:
        raise command.invalid([_not_made(former, child, "It reads", made, pointer)])
    return values.text_of(world, child, made.output)


def _places(world: World, former: JobRow | None, found: Excerpt) -> dict[Made, str]:
    places: dict[Made, str] = {}
    faults: list[Fault] = []
    for name, made in found.wants().items():
        child = None if former is None else _child(world, former, made.step)
        if child is not None and child.state is JobState.COMPLETED:
            places[made] = f"azureml://jobs/{child.name}/outputs/{made.output}"
        elif not found.optional(name):
            pointer = found.back(f"/inputs/{escape(name)}")
            faults.append(_not_made(former, child, f"The input '{name}' is", made, pointer))
    if faults:
        raise command.invalid(faults)
    return places


def _not_made(former: JobRow | None, child: ChildRow | None, what: str, made: Made, pointer: str) -> Fault:
    shown = f"{what} the output '{made.output}' of the step '{'/'.join(made.step)}'"
    if former is None:
        hint = "Add --inputs-from JOB, a pipeline job that ran it."
        return Fault("InputNotMade", f"{shown}, which does not run now.", pointer, hint)
    state = "did not begin" if child is None else f"is {child.state.value}"
    hint = "Name a job in which it is Completed."
    return Fault("InputNotMade", f"{shown}, which {state} in '{former.name}'.", pointer, hint)


def _child(world: World, row: JobRow, path: tuple[str, ...]) -> ChildRow | None:
    above, found = str(row.job.id), None
    for step in path:
        children = world.store.read(lambda connection, above=above: children_rows.of(connection, above))
        found = next((one for one in children if one.step == step), None)
        if found is None:
            return None
        above = str(found.id)
    return found
