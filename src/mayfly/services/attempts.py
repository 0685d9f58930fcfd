"""Who an attempt is, for doors that its node opens on its behalf."""

from __future__ import annotations

from sqlalchemy import Connection

from mayfly.kit.errors import Forbidden
from mayfly.services.places import tracking_name
from mayfly.services.runs import AttemptContext
from mayfly.services.world import World
from mayfly.store import attempts, jobs, workspaces
from mayfly.store.jobs import JobRow


def context_of(world: World, node: str, text: str) -> AttemptContext:
    """The attempt named `<job>/<attempt>`, when this node works for it and it is the job's current one. Raises Forbidden
    `AttemptFenced`: only the holder of the fence may publish (promise 2)."""
    job, _, number = text.partition("/")

    def look(connection: Connection) -> AttemptContext | None:
        row = jobs.by_id(connection, job)
        mine = [rank for rank in attempts.on_node(connection, node) if rank.job == job]
        if row is None or str(row.job.attempt) != number or row.job.state.terminal:
            return None
        return _context(connection, row) if any(str(rank.attempt) == number for rank in mine) else None

    found = world.store.read(look)
    if found is None:
        raise Forbidden("AttemptFenced", "This attempt may not publish any more.")
    return found


def live(world: World, subject: str) -> bool:
    """Whether an attempt, as `attempt_subject` names it, is its job's current one and has not ended."""
    job, number, epoch = subject.split("/")
    row = world.store.read(lambda connection: jobs.by_id(connection, job))
    current = row is not None and str(row.job.attempt) == number and str(world.epoch) == epoch
    return current and row is not None and not row.job.state.terminal


def speaker(world: World, job: str) -> AttemptContext | None:
    """Who a job is, whether it has ended or not."""

    def look(connection: Connection) -> AttemptContext | None:
        row = jobs.by_id(connection, job)
        return None if row is None else _context(connection, row)

    return world.store.read(look)


def _context(connection: Connection, row: JobRow) -> AttemptContext:
    space = tracking_name(workspaces.get(connection, row.workspace))
    above = jobs.by_id(connection, row.parent) if row.parent is not None else None
    parent = None if above is None else _context(connection, above)
    return AttemptContext(row.job.id, row.job.attempt, row.run, row.experiment, row.name, row.submitter, space, parent)
