"""Pipelines go on: what each does next is decided from its rows, and done through the way of any job."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import structlog

from mayfly.domain.job import Cause, JobState
from mayfly.domain.pipeline import Action, Cancel, End, Graph, Progress, Start
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId
from mayfly.services import choices, loops, steps, takeovers
from mayfly.services.data import Found
from mayfly.services.graphs import children_of, decided
from mayfly.services.jobs import cancel_by_id
from mayfly.services.loops import Running
from mayfly.services.steps import Plan
from mayfly.services.world import World
from mayfly.store import children, jobs
from mayfly.store.children import ChildRow, Composite

log = structlog.get_logger()

_AGAIN_S = 5.0
_ANEW = 60_000
"""How often everything is read, whatever was seen of it before."""
_LATE = 20_000
"""How long after its time an end may be written."""


@dataclass(slots=True)
class _Known:
    """A job of children as this server last saw it."""

    plan: Plan | Running
    children: dict[str, ChildRow] = field(default_factory=dict)
    progress: Progress = field(default_factory=lambda: Progress(Graph({})))
    """Of a pipeline's steps; a loop decides from its children."""
    standing: dict[str, Found] = field(default_factory=dict)
    """What steps that did not run have."""
    look: bool = True
    """There may be something to do."""
    waits: bool = False
    """Something could not begin yet."""

    def anew(self, found: list[ChildRow]) -> None:
        self.children = {one.step: one for one in found}
        self.standing.clear()
        self.look = True
        if isinstance(self.plan, Plan):
            self.progress = Progress(self.plan.graph, children_of(found))

    def see(self, child: ChildRow) -> None:
        before = self.children.get(child.step)
        if before is None or before.state is not child.state:
            self.children[child.step] = child
            self.look = True
            if isinstance(self.plan, Plan):
                self.progress.see(child.step, decided(child))

    def begun(self, child: ChildRow | None) -> None:
        if child is None:
            self.waits = True
        else:
            self.see(child)


@dataclass(slots=True)
class Pipelines:
    """Killed at any line, it finds in the rows where it was: children are named by their steps. A pass costs what has changed
    since the last one; what that could miss (another server's clock, a unit that was late) is found when all is read anew."""

    _world: World
    _known: dict[JobId, _Known] = field(default_factory=dict)
    _looked: int = 0
    _anew: int = 0

    def forget(self) -> None:
        """Another server may have gone on with them."""
        self._known.clear()

    def work(self) -> float | None:
        """One that fails for a fault of ours holds up no other, and is looked at again."""
        self._read()
        seen: set[JobId] = set()
        stuck = False
        while fresh := [one for one in self._world.store.read(children.composites) if one.id not in seen]:
            for one in reversed(fresh):  # the inner ones first: what waits for them is then looked at in the same pass
                seen.add(one.id)
                try:
                    above = self._advance(one)
                except Exception:
                    stuck = True
                    self._known.pop(one.id, None)
                    log.exception("pipeline not advanced", job=one.id)
                else:
                    seen.discard(above or JobId(""))
        for gone in self._known.keys() - seen:
            del self._known[gone]
        return _AGAIN_S if stuck else None

    def _read(self) -> None:
        """What has changed since the last pass."""
        now = self._world.clock.now()
        since, self._looked = Millis(self._looked - _LATE), now
        if now - self._anew >= _ANEW or now < since:
            self._anew = now
            for job, known in self._known.items():
                known.anew(self._world.store.read(lambda c, job=job: children.of(c, job)))
            return
        for parent, child in self._world.store.read(lambda c: children.ended_since(c, since)):
            if parent in self._known:
                self._known[parent].see(child)

    def _advance(self, one: Composite) -> JobId | None:
        """Until there is nothing to do but wait; its parent, when that must know that it has ended."""
        known = self._known.get(one.id) or self._get_to_know(one.id)
        if known is None:
            return None
        cancelling = one.state is JobState.CANCEL_REQUESTED
        known.look |= known.waits or cancelling
        known.waits = False
        while known.look:
            known.look = False
            begin: list[str] = []
            for action in self._actions(known, cancelling):
                match action:
                    case Start(step):
                        begin.append(step)
                    case Cancel(step):
                        cancel_by_id(self._world, known.children[step].id, _STOPPED)
                        self._look_at(known, known.children[step].id)
                    case End(cause):
                        return self._end(one.id, known, cause)
            self._begin(known, begin)
        return None

    def _get_to_know(self, job: JobId) -> _Known | None:
        row = self._world.store.read(lambda c: jobs.by_id(c, job))
        if row is None or row.job.state.terminal:
            return None
        below = self._world.store.read(lambda c: children.of(c, job))
        plan = loops.running_of if row.type in jobs.LOOPS else steps.plan_of
        known = self._known[job] = _Known(plan(self._world, row))
        known.anew(below)
        return known

    def _look_at(self, known: _Known, child: JobId) -> None:
        known.see(self._world.store.read(lambda c: children.one(c, child)))

    def _actions(self, known: _Known, cancelling: bool) -> tuple[Action, ...]:
        if isinstance(known.plan, Plan):
            return known.progress.actions(cancelling=cancelling)
        below = list(known.children.values())
        actions, wrong = loops.actions(self._world, known.plan, below, cancelling=cancelling)
        return actions if wrong is None else (End(wrong),)

    def _begin(self, known: _Known, ready: list[str]) -> None:
        plan, world = known.plan, self._world
        if isinstance(plan, Running):
            for name in ready:
                known.begun(loops.start(world, plan, name, list(known.children.values())))
            return
        commands = deque[str]()
        for step in ready:
            kind = plan.level.kind(step)
            if kind == "command":
                commands.append(step)
            elif kind == jobs.IF_ELSE:
                known.begun(choices.settle(world, plan, step, known.children))
            elif kind in jobs.LOOPS:
                known.begun(loops.begin(world, plan, step, known.children))
            else:
                known.begun(steps.start(world, plan, step, known.children))
        going_on = True
        while commands and going_on:
            with world.courtesy.in_turns():
                found, waits = takeovers.begin(world, plan, commands, known.children, known.progress, known.standing)
            known.waits |= waits
            for child in found:
                known.see(child)
            going_on = bool(found) and not any(child.state in (JobState.FAILED, JobState.CANCELED) for child in found)

    def _end(self, job: JobId, known: _Known, cause: Cause | None) -> JobId | None:
        """Its parent, when that is one that was looked at."""
        row = known.plan.row
        if isinstance(known.plan, Plan):
            steps.end(self._world, known.plan, cause, known.children)
        else:
            loops.end(self._world, known.plan, cause, list(known.children.values()))
        del self._known[job]
        above = JobId(row.parent or "")
        if above not in self._known:
            return None
        self._look_at(self._known[above], job)
        return above


_STOPPED = Cause(
    "PipelineStopped",
    "Canceled because another step of its pipeline failed, and the pipeline stops then (continue_on_step_failure).",
)
