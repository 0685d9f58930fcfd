"""Environments that nobody uses any more: their locks, and what nodes keep of them.

Unlike the garbage of `services.garbage`, all of it can be made again: whoever names such an environment later waits
until it is made anew, with the packages of that day.
"""

from __future__ import annotations

import time

from mayfly.kit.clock import Millis
from mayfly.services import containers
from mayfly.services.environments import log_of
from mayfly.services.world import World
from mayfly.store import environments
from mayfly.store.environments import EnvironmentRow
from mayfly.store.unit import Unit
from mayfly.wire import mayfly as wire

_DAY_MS = 24 * 3600 * 1000


def prune(world: World, *, days: float, dry_run: bool = False) -> wire.PruneView:
    """Give up the locks of environments that no job asked for during the last `days`, and what nodes have cached and not
    used for as long. Never what a job that has not ended needs. `dry_run`: only say what it would be. May be repeated
    and interrupted."""
    before = Millis(world.clock.now() - int(days * _DAY_MS))
    view = wire.PruneView(dry_run=dry_run, days=days)
    for row in world.store.read(environments.everything):
        if _give_up(world, row, before, dry_run):
            view.locks += 1
            view.lock_bytes += len((row.plan.lock or "") if row.plan is not None else "")
        else:
            view.kept_locks += 1
    needed = world.store.read(environments.needed_plans)
    found = world.caches.prune(Millis(int((time.time() - days * 86_400) * 1000)), needed, dry_run=dry_run)
    view.environments, view.trees, view.bytes = found.environments + found.images, found.trees, found.bytes
    view.kept, view.kept_bytes = found.kept, found.kept_bytes
    return view


def _give_up(world: World, row: EnvironmentRow, before: Millis, dry_run: bool) -> bool:
    """Under its lease, so that none goes while it is made."""
    if row.used_at >= before:
        return False
    if dry_run:
        return world.store.read(lambda connection: environments.is_idle(connection, row.digest, before))
    holder = f"prune {world.ids.new('prune')}"

    def keep(unit: Unit) -> bool:
        if not environments.claim(unit, row.digest, holder):
            return False
        gone = environments.lock(unit, row.digest) is not None and environments.is_idle(
            unit.connection, row.digest, before
        )
        if gone:
            environments.forget(unit, row.digest)
        environments.let_go(unit, row.digest, holder)
        return gone

    gone = world.store.write(keep)
    if gone:
        world.logs.remove(log_of(row.digest))
        if row.kind == "build":
            containers.give_up(world, row.digest)
    return gone
