"""One step of a pipeline as a job of its own, reading what a former pipeline's steps made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mayfly.domain.job import JobState
from mayfly.kit.errors import Fault, Invalid
from mayfly.services import components, jobs, pipelines
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec import job as command
from mayfly.spec.document import escape
from mayfly.spec.excerpt import Excerpt, Made, excerpt, parts
from mayfly.spec.pipeline import is_pipeline
from mayfly.store import jobs as rows
from mayfly.store.jobs import ChildRow, JobRow
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
    found = excerpt(complete.definition, parts(submission.only))
    places = _places(world, place, found, submission.inputs_from)
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


def _places(world: World, place: Place, found: Excerpt, former: str) -> dict[Made, str]:
    wants = found.wants()
    row = jobs.find(world, place, former) if former else None
    if row is not None and row.type != rows.PIPELINE:
        raise Invalid("NotAPipeline", f"The job '{former}' is no pipeline; inputs come from one that ran before.")
    places: dict[Made, str] = {}
    faults: list[Fault] = []
    for name, made in wants.items():
        step = "/".join(made.step)
        child = None if row is None else _child(world, row, made.step)
        if child is not None and child.state is JobState.COMPLETED:
            places[made] = f"azureml://jobs/{child.name}/outputs/{made.output}"
        elif not found.optional(name):
            pointer = found.back(f"/inputs/{escape(name)}")
            what = f"The input '{name}' is the output '{made.output}' of the step '{step}'"
            if row is None:
                faults.append(
                    Fault(
                        "InputNotMade",
                        f"{what}, which does not run now.",
                        pointer,
                        "Add --inputs-from JOB, a pipeline job that ran it.",
                    )
                )
            else:
                state = "did not begin" if child is None else f"is {child.state.value}"
                faults.append(
                    Fault(
                        "InputNotMade",
                        f"{what}, which {state} in '{row.name}'.",
                        pointer,
                        "Name a job in which it is Completed.",
                    )
                )
    if faults:
        raise command.invalid(faults)
    return places


def _child(world: World, row: JobRow, path: tuple[str, ...]) -> ChildRow | None:
    above, found = str(row.job.id), None
    for step in path:
        children = world.store.read(lambda connection, above=above: rows.children(connection, above))
        found = next((one for one in children if one.step == step), None)
        if found is None:
            return None
        above = str(found.id)
    return found
