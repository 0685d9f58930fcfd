"""Whatever kind of job a definition is: checked, accepted, planned."""

from __future__ import annotations

from mayfly.domain.job import JobState
from mayfly.kit.errors import Conflict, Invalid
from mayfly.services import components, excerpts, explanations, jobs, pipelines, submit, together
from mayfly.services.places import Place
from mayfly.services.submit import Beside, Parent
from mayfly.services.world import World
from mayfly.spec.holders import is_pipeline
from mayfly.store import jobs as rows
from mayfly.store.jobs import JobRow
from mayfly.wire.mayfly import PlanView, Submission

RETRY_OF = "mayfly.retryOf"
"""A job's property: the one that it is another try of."""


def accept(
    world: World,
    submitter: str,
    place: Place,
    submission: Submission,
    parent: Parent | None = None,
    beside: Beside | None = None,
) -> tuple[JobRow, bool]:
    """As `submit.submit`."""
    if parent is None:
        with world.courtesy.serving():
            return _accept(world, submitter, place, submission, None, beside)
    return _accept(world, submitter, place, submission, parent, beside)


def _accept(
    world: World,
    submitter: str,
    place: Place,
    submission: Submission,
    parent: Parent | None,
    beside: Beside | None,
) -> tuple[JobRow, bool]:
    with excerpts.narrowed(world, place, submission) as wanted:
        if is_pipeline(wanted.definition):
            return pipelines.submit(world, submitter, place, wanted, parent, beside)
        with components.expanded(world, place, wanted) as plain:
            if parent is not None or beside is not None:
                return submit.submit(world, submitter, place, plain, parent, beside)
            return together.keep(together.wanted(world, submit.candidate(world, submitter, place, plain)))


def notes(world: World, place: Place, submission: Submission) -> list[str]:
    """What there is to say about a legal job. Raises as `accept`; keeps nothing."""
    with excerpts.narrowed(world, place, submission) as wanted:
        if is_pipeline(wanted.definition):
            return pipelines.prepare(world, place, wanted).notes
        with components.expanded(world, place, wanted) as plain:
            return submit.prepare(world, place, plain).notes


def planned(world: World, submitter: str, place: Place, submission: Submission) -> PlanView:
    """Raises Invalid `PipelineHasNoPlan` and as `accept`."""
    with excerpts.narrowed(world, place, submission) as wanted:
        if is_pipeline(wanted.definition):
            raise Invalid(
                "PipelineHasNoPlan",
                "A pipeline has no size of its own: each of its steps is placed when its turn comes.",
                remedy="Check the whole with 'mayfly job validate', or plan one step: --only STEP.",
            )
        with components.expanded(world, place, wanted) as plain:
            return explanations.plan_submission(world, submitter, place, plain)


def again(world: World, submitter: str, place: Place, name: str, called: str = "") -> JobRow:
    """A failed or canceled job once more, under a name of its own, `called` where that was chosen: of a pipeline, steps
    that had completed are not run again unless it says so (`force_rerun`). May be repeated with that name. Raises Conflict
    `JobNotFailed`, and as `accept`."""
    row = jobs.find(world, place, name)
    if row.job.state not in (JobState.FAILED, JobState.CANCELED):
        raise Conflict(
            "JobNotFailed",
            f"The job '{row.name}' is {row.job.state.value}; only what failed or was canceled is tried again.",
            remedy="Submit its file again to run it once more.",
        )
    if row.parent is not None:
        above = world.store.read(lambda connection: rows.by_id(connection, str(row.parent)))
        raise Invalid(
            "StepNotRetried",
            f"'{row.name}' is a step of a pipeline, which is tried again as a whole.",
            remedy=f"mayfly job retry -n {above.name if above else 'PIPELINE'}: steps that completed are not run again.",
        )
    submission = Submission.model_validate_json(row.body)
    definition = {key: value for key, value in submission.definition.items() if key != "name"}
    labels = definition.get("properties")
    definition["properties"] = {**(labels if isinstance(labels, dict) else {}), RETRY_OF: row.name}
    return accept(world, submitter, place, submission.model_copy(update={"definition": definition, "name": called}))[0]
