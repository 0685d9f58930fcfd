"""Who an attempt is, for doors that its node opens on its behalf."""

from __future__ import annotations

from sqlalchemy import Connection

from mayfly.domain.fence import holds
from mayfly.kit.errors import Forbidden
from mayfly.services.assignments import fence_of
from mayfly.services.places import tracking_name
from mayfly.services.runs import AttemptContext
from mayfly.services.world import World
from mayfly.store import attempts, jobs, workspaces
from mayfly.store.jobs import JobRow
from mayfly.wire import agent


def context_of(world: World, node: str, text: str) -> AttemptContext:
    """The attempt named `<job>/<attempt>`, when this node works for it and it is the job's current one. Raises Forbidden
    `AttemptFenced`: only the holder of the fence may publish (promise 2)."""
    job, _, number = text.partition("/")

    def look(connection: Connection) -> AttemptContext | None:
        attempt = attempts.get(connection, job, int(number)) if number.isdecimal() else None
        row = None if attempt is None else holder(world, connection, node, fence_of(attempt))
        return None if row is None else _context(connection, row)

    found = world.store.read(look)
    if found is None:
        raise Forbidden("AttemptFenced", "This attempt may not publish any more.")
    return found


def holder(world: World, connection: Connection, node: str, fence: agent.Fence) -> JobRow | None:
    """The job of a fence that is held and that this node works for; None where it may not read or publish any more."""
    row = jobs.by_id(connection, fence.job)
    mine = any((one.job, one.attempt) == (fence.job, fence.attempt) for one in attempts.on_node(connection, node))
    if row is None or not mine or not holds(row.job, fence.attempt, fence.epoch, present=world.epoch):
        return None
    return row


def live(world: World, subject: str) -> bool:
    """Whether an attempt, as `attempt_subject` names it, holds the fence of its job."""
    job, number, epoch = subject.split("/")
    row = world.store.read(lambda connection: jobs.by_id(connection, job))
    return row is not None and holds(row.job, int(number), int(epoch), present=world.epoch)


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
