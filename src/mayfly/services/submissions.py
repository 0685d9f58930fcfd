"""Whatever kind of job a definition is: checked, accepted, planned."""

from __future__ import annotations

from mayfly.kit.errors import Invalid
from mayfly.services import components, explanations, pipelines, submit
from mayfly.services.places import Place
from mayfly.services.submit import Parent
from mayfly.services.world import World
from mayfly.spec.pipeline import is_pipeline
from mayfly.store.jobs import JobRow
from mayfly.wire.mayfly import PlanView, Submission


def accept(
    world: World, submitter: str, place: Place, submission: Submission, parent: Parent | None = None
) -> tuple[JobRow, bool]:
    """As `submit.submit`."""
    if is_pipeline(submission.definition):
        return pipelines.submit(world, submitter, place, submission, parent)
    with components.expanded(world, place, submission) as plain:
        return submit.submit(world, submitter, place, plain, parent)


def notes(world: World, place: Place, submission: Submission) -> list[str]:
    """What there is to say about a legal job. Raises as `accept`; keeps nothing."""
    if is_pipeline(submission.definition):
        return pipelines.prepare(world, place, submission).notes
    with components.expanded(world, place, submission) as plain:
        return submit.prepare(world, place, plain).notes


def planned(world: World, submitter: str, place: Place, submission: Submission) -> PlanView:
    """Raises Invalid `PipelineHasNoPlan` and as `accept`."""
    if is_pipeline(submission.definition):
        raise Invalid(
            "PipelineHasNoPlan",
            "A pipeline has no size of its own: each of its steps is placed when its turn comes.",
            remedy="Check the whole: mayfly job validate.",
        )
    with components.expanded(world, place, submission) as plain:
        return explanations.plan_submission(world, submitter, place, plain)
