"""Move the world towards the wished nodes, and notice what has gone. Calls to the provider stand outside of every unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import structlog

from mayfly.domain.job import Cause
from mayfly.domain.node import (
    IDLE_MS,
    ClockSetBack,
    Created,
    IdleTimedOut,
    NodeEvent,
    NodeState,
    SeenGone,
    ahead,
    idle_too_long,
)
from mayfly.kit.clock import Millis
from mayfly.kit.errors import MayflyError
from mayfly.kit.ids import NodeId
from mayfly.ports.compute import GroupWish, NodeWish, Presence, Sighting
from mayfly.services.moves import lose
from mayfly.services.tokens import Principal
from mayfly.services.world import World
from mayfly.store import attempts, nodes
from mayfly.store.nodes import NodeRow
from mayfly.store.unit import Unit

log = structlog.get_logger()

LOOK_S = 1.0
GREETING_MS = 300_000
"""A node whose agent has not called for so long after its creation never will: it is given up."""


def tend(world: World, idle: int = IDLE_MS, greeting: int = GREETING_MS) -> float | None:
    """One pass; seconds until the next look, None when there is no node."""
    rows = world.store.read(nodes.present)
    if not rows:
        return None
    _create(world, [row for row in rows if row.state is NodeState.WISHED])
    _retire(world, rows, idle)
    rows = world.store.read(nodes.present)
    leaving = [row.id for row in rows if row.state is NodeState.DELETING or _never_came(world, row, greeting)]
    if leaving:
        world.provider.delete(leaving)
    seen = {sighting.node: sighting for sighting in world.provider.list([row.id for row in rows])}
    _revive(world, [row for row in rows if seen[row.id].presence is Presence.DOWN])
    for row in rows:
        if seen[row.id].presence in (Presence.GONE, Presence.REFUSED) and row.state is not NodeState.WISHED:
            _gone(world, row, seen[row.id])
    return LOOK_S


def _wish(world: World, row: NodeRow) -> NodeWish:
    return NodeWish(row.id, world.tokens.issue(Principal("node", row.id)), row.node.instance_type, row.amount)


def _groups(world: World, rows: Sequence[NodeRow]) -> list[GroupWish]:
    groups: dict[str, list[NodeRow]] = defaultdict(list)
    for row in rows:
        groups[row.node.group].append(row)
    return [
        GroupWish(members[0].node.group, tuple(_wish(world, row) for row in members)) for members in groups.values()
    ]


def _create(world: World, rows: Sequence[NodeRow]) -> None:
    """Create first, then say so: killed in between, it is created again, which changes nothing."""
    now = world.clock.now()
    for group in _groups(world, rows):
        members = [row for row in rows if row.node.group == group.group]
        try:
            world.provider.create(group)
        except (MayflyError, OSError) as error:
            _refused(world, members, f"it could not be created: {error}")
            continue

        def created(unit: Unit, members: list[NodeRow] = members) -> None:
            for row in members:
                fresh = nodes.lock(unit, row.id)
                if fresh is not None:
                    nodes.apply(unit, fresh, Created(), now)
            unit.passing("node created")

        world.store.write(created)


def _refused(world: World, members: Sequence[NodeRow], why: str) -> None:
    """Given up, but for those that are there: an earlier try that was cut off may have made some, which must go first."""
    world.provider.delete([row.id for row in members])
    seen = {sighting.node: sighting.presence for sighting in world.provider.list([row.id for row in members])}
    for row in members:
        if seen[row.id] is Presence.GONE:
            _gone(world, row, Sighting(row.id, Presence.REFUSED, why))


def _never_came(world: World, row: NodeRow, greeting: int) -> bool:
    since = max(row.node.state_since, world.started_at)
    return row.state is NodeState.CREATING and world.clock.now() - since > greeting


def _revive(world: World, rows: Sequence[NodeRow]) -> None:
    """Its agent has died with its watchdog: bring it back, so that it can tell what is on its disk. Where that cannot be
    done now it is tried again at the next look; the other nodes do not wait for it."""
    for group in _groups(world, rows):
        try:
            world.provider.create(group)
        except (MayflyError, OSError) as error:
            log.warning("node not brought back", nodes=[wish.node for wish in group.nodes], reason=str(error))


def _retire(world: World, rows: Sequence[NodeRow], idle: int) -> None:
    """Those that have been idle for too long; where the clock was set back that time begins anew."""
    now = world.clock.now()
    _apply(world, [row for row in rows if ahead(row.node, now)], ClockSetBack(), now)
    _apply(world, [row for row in rows if idle_too_long(row.node, now, idle)], IdleTimedOut(), now)


def _apply(world: World, rows: Sequence[NodeRow], event: NodeEvent, now: Millis) -> None:
    if not rows:
        return

    def write(unit: Unit) -> None:
        for row in rows:
            fresh = nodes.lock(unit, row.id)
            if fresh is not None:
                nodes.apply(unit, fresh, event, now)

    world.store.write(write)


def _gone(world: World, row: NodeRow, sighting: Sighting) -> None:
    now = world.clock.now()
    why = sighting.reason or "its provider says it is gone"
    if row.state is NodeState.CREATING:
        why = "its agent never called"

    def keep(unit: Unit) -> None:
        fresh = nodes.lock(unit, row.id)
        if fresh is None or fresh.state is NodeState.GONE:
            return
        for rank in attempts.on_node(unit.connection, row.id):
            cause = Cause(
                "NodeLost",
                f"Node {row.id} was lost: {why}.",
                "Submit the job again; queue_settings.job_tier Spot is put back in the queue by itself.",
            )
            lose(unit, rank, cause, now, retry=True)
        nodes.apply(unit, nodes.lock(unit, row.id) or fresh, SeenGone(why), now)
        unit.passing("node gone")
        unit.wake("scheduling")

    world.store.write(keep)
    world.contacts.forget([NodeId(row.id)])
