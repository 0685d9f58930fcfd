"""Pipelines go on: what each does next is decided from its rows, and done through the way of any job."""

from __future__ import annotations

import structlog

from mayfly.domain.job import Cause, JobState
from mayfly.domain.pipeline import Cancel, End, Start, next_actions
from mayfly.kit.ids import JobId
from mayfly.services import steps
from mayfly.services.graphs import children_of
from mayfly.services.jobs import cancel_by_id
from mayfly.services.steps import Plan
from mayfly.services.world import World
from mayfly.store import jobs

log = structlog.get_logger()

_AGAIN_S = 5.0


class Pipelines:
    """Killed at any line, it finds in the rows where it was: children are named by their steps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plans: dict[JobId, Plan] = {}

    def work(self) -> float | None:
        """One that fails for a fault of ours holds up no other, and is looked at again."""
        seen: set[JobId] = set()
        stuck = False
        while fresh := [job for job in self._world.store.read(jobs.composites) if job not in seen]:
            for job in reversed(fresh):  # the inner ones first: what waits for them is then looked at in the same pass
                try:
                    self._advance(job)
                except Exception:
                    stuck = True
                    log.exception("pipeline not advanced", job=job)
            seen.update(fresh)
        for gone in self._plans.keys() - seen:
            del self._plans[gone]
        return _AGAIN_S if stuck else None

    def _advance(self, job: JobId) -> None:
        """Until there is nothing to do but wait."""
        while True:
            row = self._world.store.read(lambda connection: jobs.by_id(connection, job))
            if row is None or row.job.state.terminal:
                return
            if job not in self._plans:
                self._plans[job] = steps.plan_of(self._world, row)
            plan = self._plans[job]
            children = self._world.store.read(lambda connection: jobs.children(connection, job))
            cancelling = row.job.state is JobState.CANCEL_REQUESTED
            actions = next_actions(plan.graph, children_of(children), cancelling=cancelling)
            again = False
            for action in actions:
                match action:
                    case Start(step):
                        again |= steps.start(self._world, plan, step, children)
                    case Cancel(step):
                        child = next(one for one in children if one.step == step)
                        cancel_by_id(self._world, child.id, Cause("PipelineStopped", _STOPPED))
                    case End(cause):
                        steps.end(self._world, plan, cause, children)
            if not again:
                return


_STOPPED = (
    "Canceled because another step of its pipeline failed, and the pipeline stops then (continue_on_step_failure)."
)
