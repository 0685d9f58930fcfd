"""Reservations: of each placement all or nothing. Those of one pass are rows of the same few statements; where one of them cannot be,
each is tried by itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import wait

from mayfly.domain.compute import Placement
from mayfly.domain.job import JobState
from mayfly.domain.life import Reserved, step
from mayfly.domain.node import Node
from mayfly.domain.placement import rank_amounts
from mayfly.domain.queue import Start
from mayfly.domain.quota import default_limit
from mayfly.kit.clock import Millis
from mayfly.kit.ids import GroupId, NodeId
from mayfly.services.world import World
from mayfly.store import attempts, builds, codec, jobs, ledgers, nodes
from mayfly.store.attempts import Attempt
from mayfly.store.jobs import Change
from mayfly.store.ledgers import Take
from mayfly.store.nodes import NodeRow
from mayfly.store.unit import Unit

AT_ONCE = 200
"""Placements in one unit: others who write wait no longer than that takes."""


class _Taken(Exception):
    """A warm node went to somebody else."""


def reserve(world: World, starts: Sequence[Start], now: Millis) -> int:
    """How many have theirs, or do not wait for one any more. May be repeated."""
    done = 0
    for first in range(0, len(starts), AT_ONCE):
        some = starts[first : first + AT_ONCE]
        try:
            world.store.write(lambda unit, some=some: _place(world, unit, some, now))
            done += len(some)
        except (ledgers.Overdrawn, _Taken):
            done += _one_by_one(world, some, now)
    return done


def _one_by_one(world: World, starts: Sequence[Start], now: Millis) -> int:
    """With as few waits for the disk as the store can do with."""
    asked = [world.store.submit(lambda unit, start=start: _place(world, unit, [start], now)) for start in starts]
    wait(asked)
    taken = [one for one in asked if isinstance(one.exception(), ledgers.Overdrawn | _Taken)]
    for one in asked:
        if one not in taken:
            one.result()
    return len(asked) - len(taken)


def _place(world: World, unit: Unit, starts: Sequence[Start], now: Millis) -> None:
    limits = {key: default_limit(key, world.fleet) for start in starts for key in start.placement.quota}
    for start in starts:
        if builds.is_build(start.job):
            ledgers.ensure(unit, limits)
            _begin_build(world, unit, start)
    rows = jobs.lock_all(unit, [start.job for start in starts if not builds.is_build(start.job)])
    wanted = [
        (start, rows[start.job])
        for start in starts
        if start.job in rows and rows[start.job].job.state is JobState.QUEUED
    ]
    if not wanted:
        return
    ledgers.ensure(unit, limits)
    takes = [Take(start.job, row.job.attempt + 1, start.placement) for start, row in wanted]
    ledgers.take(unit, world.fleet.provider, takes)
    fresh: list[NodeRow] = []
    where = [_nodes_for(world, unit, start.placement, now, fresh) for start, _ in wanted]
    nodes.add(unit, fresh)
    placed = [Attempt(one.job, one.attempt, world.epoch, one.placement, "live", None, now) for one in takes]
    attempts.add(unit, list(zip(placed, where, strict=True)))
    jobs.explain(unit, {start.job: codec.explanation_text(start.explanation) for start, _ in wanted})
    jobs.change_all(
        unit,
        [Change(row, step(row.job, Reserved(take.attempt), now)) for (_, row), take in zip(wanted, takes, strict=True)],
        now,
        Reserved.__name__,
    )
    unit.passing("attempt reserved")
    unit.wake(*(["fleet"] if fresh else []), *(f"node:{node}" for ids in where for node in ids))


def _begin_build(world: World, unit: Unit, start: Start) -> None:
    if builds.take(unit, start.job, world.fleet.provider, start.placement):
        unit.passing("build reserved")
        unit.wake("environments")


def _nodes_for(world: World, unit: Unit, placement: Placement, now: Millis, fresh: list[NodeRow]) -> list[NodeId]:
    """Warm nodes first; the rest are wished for together: they are added to `fresh`."""
    ids = list(placement.reuse)
    for node in ids:
        if not nodes.claim_warm(unit, node, now):
            raise _Taken
    group = GroupId(world.ids.new("group"))
    amounts = rank_amounts(placement)
    made = [
        NodeRow(
            node=Node(NodeId(world.ids.new("node")), group, placement.instance_type.name, now),
            provider=world.fleet.provider,
            amount=amounts[rank],
            hello=None,
            created_at=now,
        )
        for rank in range(len(ids), placement.node_count)
    ]
    fresh += made
    return ids + [row.id for row in made]
