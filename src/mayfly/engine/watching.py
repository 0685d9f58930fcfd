"""Suspect silent nodes. Suspicion is shown and never kills (promise 5)."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from mayfly.domain.life import Suspected
from mayfly.domain.node import suspected
from mayfly.services.moves import move
from mayfly.services.world import World
from mayfly.store import attempts, jobs, nodes
from mayfly.store.unit import Unit


def watch(world: World) -> float | None:
    """One pass; None when there is no node."""
    now = world.clock.now()

    def look(connection: Connection) -> tuple[bool, list[tuple[str, int]]]:
        present = nodes.present(connection)
        busy = attempts.busy_nodes(connection) if present else {}
        silent = []
        for node in present:
            last = world.contacts.last(node.id, node.node.state_since, now)
            if node.id in busy and suspected(replace(node.node, last_heard=last), now):
                silent += busy[node.id]
        return bool(present), silent

    there, silent = world.store.read(look)
    for job, attempt in silent:

        def suspect(unit: Unit, job: str = job, attempt: int = attempt) -> None:
            row = jobs.lock(unit, job)
            if row is not None and row.job.suspected_since is None:
                move(unit, row, Suspected(attempt), now)

        world.store.write(suspect)
    return 1.0 if there else None
