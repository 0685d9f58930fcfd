"""A pipeline's graph as people see it: every step, how it stands, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from mayfly.domain.phases import spans
from mayfly.domain.pipeline import Child, Graph, Progress
from mayfly.services.world import World
from mayfly.store import children as children_rows
from mayfly.store import codec, jobs
from mayfly.store.children import ChildRow
from mayfly.store.jobs import JobRow
from mayfly.wire import mayfly as wire

WAITING, SKIPPED = "NotStarted", "Skipped"


def graph_of(row: JobRow) -> Graph:
    work = codec.load(row.work)
    return Graph(dict(work.get("needs", ())), work.get("continues", True), work.get("chosen", {}))


def children_of(found: Iterable[ChildRow]) -> dict[str, Child]:
    """As they are decided about."""
    return {one.step: decided(one) for one in found}


def decided(one: ChildRow) -> Child:
    return Child(one.state, "" if one.cause is None else one.cause.message, one.came_to)


def step_views(world: World, connection: Connection, row: JobRow) -> list[wire.StepView]:
    """In the order they were written; those of nested pipelines below theirs."""
    children, now = children_rows.of(connection, row.job.id), world.clock.now()
    graph = Graph({one.step: {} for one in children}) if row.type in jobs.LOOPS else graph_of(row)
    begun = {one.step: one for one in children_rows.rows_of(connection, row.job.id)}
    stands = Progress(graph, children_of(children)).standing(stopped=row.job.ended_at is not None)
    views = []
    for step, needs in graph.needs.items():
        never = step in stands.skipped or step in stands.passed_by
        view = wire.StepView(name=step, status=SKIPPED if never else WAITING, needs=list(needs))
        child = begun.get(step)
        if child is not None:
            job = child.job
            view.job, view.type, view.reused = child.name, child.type, child.reused is not None
            view.status = job.state.value if job.suspected_since is None or job.state.terminal else "NotResponding"
            view.phase, view.reason = job.phase.value, "" if job.cause is None else job.cause.message
            view.phase_detail = world.progress.of(job.id, job.attempt, world.epoch, job.phase.value)
            view.milliseconds = sum(spent for _, spent, _ in spans(job, now))
            if child.type in (jobs.PIPELINE, *jobs.LOOPS):
                view.steps = step_views(world, connection, child)
        views.append(view)
    return views


def sentence(views: list[wire.StepView]) -> str:
    """How far it is."""
    over = [one for one in views if one.status in ("Completed", "Failed", "Canceled", SKIPPED)]
    going = [one.name for one in views if one not in over and one.status != WAITING]
    shown = ", ".join(going[:5]) + (f" and {len(going) - 5} more" if len(going) > 5 else "")
    return f"{len(over)} of {len(views)} steps are over" + (f"; going on: {shown}." if going else ".")
