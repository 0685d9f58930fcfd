"""Place what waits: a snapshot by class, the pure plan, and its reservations in one unit of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from mayfly.domain.job import Phase
from mayfly.domain.life import Waiting, step
from mayfly.domain.queue import ClassKey, Explanation
from mayfly.domain.schedule import PATIENCE_MS, plan
from mayfly.engine.reserving import reserve
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Unavailable
from mayfly.kit.ids import JobId
from mayfly.services.world import World
from mayfly.store import jobs, waiting
from mayfly.store.unit import Unit

_ROUNDS = 5
"""How many plans of one pass others may spoil before it waits a moment."""


def schedule(world: World) -> float | None:
    """One pass; seconds until a blocked head's patience may run out, None when nothing waits."""
    disturbed = 0
    while True:
        now = world.clock.now()
        view = world.store.read(lambda c: waiting.snapshot(c, world.fleet, dict(world.sizes), counted=False))
        _tell(
            world, lambda connection: waiting.behind_builds(connection, Phase.ENVIRONMENT.value), Phase.ENVIRONMENT, now
        )
        if not view.classes:
            _keep_waits(world, {}, now)
            return None
        made = plan(view, now)
        placed = reserve(world, made.starts, now)
        _keep_waits(world, made.waits, now)
        if placed < len(made.starts):
            disturbed += 1
            if disturbed >= _ROUNDS:
                return 1.0
            continue  # somebody else took what this plan was made with: plan again
        unseen = {one.key for one in view.classes if one.waiting > len(one.heads)}
        more = any(made.waits[key].missing == "turn" for key in unseen if key in made.waits)
        if not (placed and more):  # those behind a head that had no place have none either
            return PATIENCE_MS / 1000 / 3 if made.waits else None


def _keep_waits(world: World, waits: Mapping[ClassKey, Explanation], now: Millis) -> None:
    """Write a class's explanation only when its reason has changed, and the phase of its jobs with it. What is kept is true of
    those who join the class later, too: they wake nobody."""
    kept: dict[ClassKey, tuple[Explanation, Millis]] = world.store.recall("waits", waiting.WAITS, waiting.waits)
    changed = {key: why for key, why in waits.items() if key not in kept or kept[key][0] != why}
    ended = [key for key in kept if key not in waits]
    if changed or ended:

        def write(unit: Unit) -> None:
            for key, why in changed.items():
                waiting.keep_wait(unit, key, why, now)
            for key in ended:
                waiting.forget_wait(unit, key)

        world.store.write(write)
    for key in waits:
        reason = waits[key].phase
        _tell(world, lambda c, key=key, reason=reason: waiting.not_in_phase(c, key, reason.value), reason, now)


def _tell(world: World, behind: Callable[[Connection], list[JobId]], reason: Phase, now: Millis) -> None:
    """Put jobs into the phase they wait in; only those that are not yet in it (`behind`) cost a write."""
    late = world.store.read(behind)
    if not late:
        return

    def write(unit: Unit) -> None:
        rows = jobs.lock_all(unit, late).values()
        moved = [jobs.Change(row, step(row.job, Waiting(reason), now)) for row in rows]
        jobs.change_all(unit, [one for one in moved if one.after != one.row.job], now, Waiting.__name__)

    try:
        world.store.write(write)
    except Unavailable:
        return
