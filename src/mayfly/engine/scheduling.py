"""Place what waits: a snapshot by class, the pure plan, and its reservations in one unit of work."""

from __future__ import annotations

from collections.abc import Mapping

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
from mayfly.store import phases, waiting
from mayfly.store.jobs import Change
from mayfly.store.unit import Unit

_ROUNDS = 5
"""How many plans of one pass others may spoil before it waits a moment."""
_TOLD_AT_ONCE = 500
"""Jobs in one unit: others who write wait no longer than that takes."""


def schedule(world: World) -> float | None:
    """One pass; seconds until a blocked head's patience may run out, None when nothing waits."""
    disturbed = 0
    while True:
        now = world.clock.now()
        view = world.store.read(lambda c: waiting.snapshot(c, world.fleet, dict(world.sizes), counted=False))
        behind = world.store.read(lambda c: waiting.behind_builds(c, Phase.ENVIRONMENT.value))
        _tell(world, dict.fromkeys(behind, Phase.ENVIRONMENT), now)
        if not view.classes:
            _keep_waits(world, {}, now)
            return None
        made = plan(view, now)
        placed = reserve(world, made.starts, now)
        _keep_waits(world, made.waits, now)
        spoilt = placed < len(made.starts)  # somebody else took what this plan was made with
        disturbed += spoilt
        unseen = {one.key for one in view.classes if one.waiting > len(one.heads)}
        more = any(made.waits[key].missing == "turn" for key in unseen if key in made.waits)
        if disturbed < _ROUNDS and (spoilt or (placed and more)):
            continue  # those behind a head that had no place have none either
        _tell(world, _late(world, made.waits), now)
        if spoilt:
            return 1.0
        return PATIENCE_MS / 1000 / 3 if made.waits else None


def _keep_waits(world: World, waits: Mapping[ClassKey, Explanation], now: Millis) -> None:
    """Write a class's explanation only when its reason has changed. What is kept is true of those who join the class later, too:
    they wake nobody."""
    kept: dict[ClassKey, tuple[Explanation, Millis]] = world.store.recall("waits", waiting.WAITS, waiting.waits)
    changed = {key: why for key, why in waits.items() if key not in kept or kept[key][0] != why}
    ended = [key for key in kept if key not in waits]
    if changed or ended:

        def write(unit: Unit) -> None:
            for key, why in changed.items():
                waiting.keep_wait(unit, key, why, now)
            for key in ended:
                waiting.forget_wait(unit, key)

        world.store.write(write, patient=True)


def _late(world: World, waits: Mapping[ClassKey, Explanation]) -> dict[JobId, Phase]:
    """Those who are not yet in the phase that their class waits in."""

    def look(connection: Connection) -> dict[JobId, Phase]:
        found = ((key, why.phase) for key, why in waits.items())
        return {job: phase for key, phase in found for job in waiting.not_in_phase(connection, key, phase.value)}

    return world.store.read(look)


def _tell(world: World, late: Mapping[JobId, Phase], now: Millis) -> None:
    """Put jobs into the phases they wait in."""
    jobs = list(late)
    for first in range(0, len(jobs), _TOLD_AT_ONCE):
        some = jobs[first : first + _TOLD_AT_ONCE]

        def write(unit: Unit, some: list[JobId] = some) -> None:
            moved = [Change(one, step(one.job, Waiting(late[one.job.id]), now)) for one in phases.lock_all(unit, some)]
            phases.enter_all(unit, [one for one in moved if one.after is not one.row.job], now)

        try:
            world.store.write(write, patient=True)
        except Unavailable:
            return
