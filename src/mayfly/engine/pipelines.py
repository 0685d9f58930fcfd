"""Pipelines go on: what each does next is decided from its rows, and done through the way of any job."""

from __future__ import annotations

import structlog

from mayfly.domain.job import Cause, JobState
from mayfly.domain.pipeline import Cancel, End, Start, next_actions
from mayfly.kit.ids import JobId
from mayfly.services import choices, loops, steps
from mayfly.services.graphs import children_of
from mayfly.services.jobs import cancel_by_id
from mayfly.services.loops import Running
from mayfly.services.steps import Plan
from mayfly.services.world import World
from mayfly.store import children as children_rows
from mayfly.store import jobs
from mayfly.store.children import ChildRow
from mayfly.store.jobs import JobRow

log = structlog.get_logger()

_AGAIN_S = 5.0


class Pipelines:
    """Killed at any line, it finds in the rows where it was: children are named by their steps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plans: dict[JobId, Plan] = {}
        self._loops: dict[JobId, Running] = {}

    def work(self) -> float | None:
        """One that fails for a fault of ours holds up no other, and is looked at again."""
        seen: set[JobId] = set()
        stuck = False
        while fresh := [job for job in self._world.store.read(children_rows.composites) if job not in seen]:
            for job in reversed(fresh):  # the inner ones first: what waits for them is then looked at in the same pass
                try:
                    self._advance(job)
                except Exception:
                    stuck = True
                    log.exception("pipeline not advanced", job=job)
            seen.update(fresh)
        for known in (self._plans, self._loops):
            for gone in known.keys() - seen:
                del known[gone]
        return _AGAIN_S if stuck else None

    def _advance(self, job: JobId) -> None:
        """Until there is nothing to do but wait."""
        while True:
            row = self._world.store.read(lambda connection: jobs.by_id(connection, job))
            if row is None or row.job.state.terminal:
                return
            children = self._world.store.read(lambda connection: children_rows.of(connection, job))
            cancelling = row.job.state is JobState.CANCEL_REQUESTED
            round_of = self._loop if row.type in jobs.LOOPS else self._graph
            if not round_of(row, children, cancelling):
                return

    def _graph(self, row: JobRow, children: list[ChildRow], cancelling: bool) -> bool:
        """Whether there is more to do at once."""
        job = row.job.id
        if job not in self._plans:
            self._plans[job] = steps.plan_of(self._world, row)
        plan = self._plans[job]
        again = False
        for action in next_actions(plan.graph, children_of(children), cancelling=cancelling):
            match action:
                case Start(step):
                    again |= self._start(plan, step, children)
                case Cancel(step):
                    self._cancel(children, step)
                case End(cause):
                    steps.end(self._world, plan, cause, children)
        return again

    def _start(self, plan: Plan, step: str, children: list[ChildRow]) -> bool:
        """As `steps.start`, of whatever kind it is."""
        kind = plan.level.kind(step)
        if kind == jobs.IF_ELSE:
            choices.settle(self._world, plan, step, children)
            return True
        if kind in jobs.LOOPS:
            return loops.begin(self._world, plan, step, children)
        return steps.start(self._world, plan, step, children)

    def _loop(self, row: JobRow, children: list[ChildRow], cancelling: bool) -> bool:
        """As `_graph`, of rounds."""
        job = row.job.id
        if job not in self._loops:
            self._loops[job] = loops.running_of(self._world, row)
        loop = self._loops[job]
        actions, wrong = loops.actions(self._world, loop, children, cancelling=cancelling)
        again = False
        for action in actions if wrong is None else (End(wrong),):
            match action:
                case Start(name):
                    again |= loops.start(self._world, loop, name, children)
                case Cancel(name):
                    self._cancel(children, name)
                case End(cause):
                    loops.end(self._world, loop, cause, children)
        return again

    def _cancel(self, children: list[ChildRow], step: str) -> None:
        child = next(one for one in children if one.step == step)
        cancel_by_id(self._world, child.id, Cause("PipelineStopped", _STOPPED))


_STOPPED = (
    "Canceled because another step of its pipeline failed, and the pipeline stops then (continue_on_step_failure)."
)
