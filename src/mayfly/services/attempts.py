"""Who an attempt is, for doors that its node opens on its behalf."""

from __future__ import annotations

from mayfly.kit.errors import Forbidden
from mayfly.services.tracking import AttemptContext
from mayfly.services.world import World
from mayfly.store import attempts, jobs


def context_of(world: World, node: str, text: str) -> AttemptContext:
    """The attempt named `<job>/<attempt>`, when this node works for it and it is the job's current one. Raises Forbidden
    `AttemptFenced`: only the holder of the fence may publish (promise 2)."""
    job, _, number = text.partition("/")

    def look(connection):
        row = jobs.by_id(connection, job)
        mine = [rank for rank in attempts.on_node(connection, node) if rank.job == job]
        return row, any(str(rank.attempt) == number for rank in mine)

    row, mine = world.store.read(look)
    if row is None or not mine or str(row.job.attempt) != number or row.job.state.terminal:
        raise Forbidden("AttemptFenced", "This attempt may not publish any more.")
    return AttemptContext(row.job.id, row.job.attempt, row.run, row.experiment, row.name, row.submitter)
