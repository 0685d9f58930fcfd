"""Place what waits: a snapshot by class, the pure plan, and its reservations in one unit of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait

from sqlalchemy import Connection

from mayfly.domain.compute import Placement
from mayfly.domain.job import JobState, Phase
from mayfly.domain.life import Reserved, Waiting
from mayfly.domain.node import Node
from mayfly.domain.placement import rank_amounts
from mayfly.domain.queue import ClassKey, Explanation, Start
from mayfly.domain.quota import default_limit
from mayfly.domain.schedule import PATIENCE_MS, plan
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Unavailable
from mayfly.kit.ids import GroupId, JobId, NodeId
from mayfly.services.moves import move
from mayfly.services.world import World
from mayfly.store import attempts, builds, codec, jobs, ledgers, nodes, waiting
from mayfly.store.attempts import Attempt
from mayfly.store.nodes import NodeRow
from mayfly.store.unit import Unit

_ROUNDS = 5
"""How many plans of one pass others may spoil before it waits a moment."""


def schedule(world: World) -> float | None:
    """One pass; seconds until a blocked head's patience may run out, None when nothing waits."""
    disturbed = 0
    while True:
        now = world.clock.now()
        view = world.store.read(lambda c: waiting.snapshot(c, world.fleet, dict(world.sizes)))
        _tell(
            world, lambda connection: waiting.behind_builds(connection, Phase.ENVIRONMENT.value), Phase.ENVIRONMENT, now
        )
        if not view.classes:
            _keep_waits(world, {}, now)
            return None
        made = plan(view, now)
        placed = _reserve(world, made.starts, now)
        _keep_waits(world, made.waits, now)
        if placed < len(made.starts):
            disturbed += 1
            if disturbed >= _ROUNDS:
                return 1.0
            continue  # somebody else took what this plan was made with: plan again
        more = any(one.waiting > len(one.heads) for one in view.classes)
        if not (placed and more):
            return PATIENCE_MS / 1000 / 3 if made.waits else None


def _reserve(world: World, starts: Sequence[Start], now: Millis) -> int:
    """Of each placement all or nothing, one after the other, with as few waits for the disk as the store can do with; how many
    have theirs, or do not wait for one any more."""
    asked = [world.store.submit(lambda unit, start=start: _place(world, unit, start, now)) for start in starts]
    wait(asked)
    taken = [one for one in asked if isinstance(one.exception(), ledgers.Overdrawn | _Taken)]
    for one in asked:
        if one not in taken:
            one.result()
    return len(asked) - len(taken)


class _Taken(Exception):
    """A warm node went to somebody else."""


def _place(world: World, unit: Unit, start: Start, now: Millis) -> None:
    if builds.is_build(start.job):
        _begin_build(world, unit, start)
        return
    row = jobs.lock(unit, start.job)
    if row is None or row.job.state is not JobState.QUEUED:
        return
    placement, number = start.placement, row.job.attempt + 1
    _ensure_ledgers(world, unit, placement)
    ledgers.take(unit, start.job, number, world.fleet.provider, placement)
    ids = _nodes_for(world, unit, placement, now)
    attempts.add(unit, Attempt(start.job, number, world.epoch, placement, "live", None, now), ids)
    jobs.explain(unit, start.job, codec.explanation_text(start.explanation))
    move(unit, row, Reserved(number), now)
    unit.passing("attempt reserved")
    unit.wake("fleet", *(f"node:{node}" for node in ids))


def _begin_build(world: World, unit: Unit, start: Start) -> None:
    _ensure_ledgers(world, unit, start.placement)
    if builds.take(unit, start.job, world.fleet.provider, start.placement):
        unit.passing("build reserved")
        unit.wake("environments")


def _ensure_ledgers(world: World, unit: Unit, placement: Placement) -> None:
    ledgers.ensure(unit, {key: default_limit(key, world.fleet) for key in placement.quota})


def _nodes_for(world: World, unit: Unit, placement: Placement, now: Millis) -> list[NodeId]:
    """Warm nodes first; the rest are wished for together."""
    ids = list(placement.reuse)
    for node in ids:
        if not nodes.claim_warm(unit, node, now):
            raise _Taken
    group = GroupId(world.ids.new("group"))
    amounts = rank_amounts(placement)
    fresh = [
        NodeRow(
            node=Node(NodeId(world.ids.new("node")), group, placement.instance_type.name, now),
            provider=world.fleet.provider,
            amount=amounts[rank],
            hello=None,
            created_at=now,
        )
        for rank in range(len(ids), placement.node_count)
    ]
    nodes.add(unit, fresh)
    return ids + [row.id for row in fresh]


def _keep_waits(world: World, waits: Mapping[ClassKey, Explanation], now: Millis) -> None:
    """Write a class's explanation only when its reason has changed, and the phase of its jobs with it. What is kept is true of
    those who join the class later, too: they wake nobody."""
    kept: dict[ClassKey, tuple[Explanation, Millis]] = world.store.read(waiting.waits)
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
        for job in late:
            row = jobs.lock(unit, job)
            if row is not None:
                move(unit, row, Waiting(reason), now)

    try:
        world.store.write(write)
    except Unavailable:
        return
