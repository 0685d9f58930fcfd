"""Nodes as rows. Who works where stands in `store.attempts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from mayfly.domain.compute import Amount
from mayfly.kit.clock import Millis
from mayfly.kit.ids import GroupId, NodeId
from mayfly.store import codec, dialect, events
from mayfly.store.tables import nodes
from mayfly.store.unit import Unit
from mayfly.wire import agent

PRESENT = ("wished", "creating", "ready", "draining", "deleting")
"""Every state but gone."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    id: NodeId
    group: GroupId
    provider: str
    instance_type: str
    amount: Amount
    state: str
    """wished, creating, ready, draining, deleting or gone."""
    state_since: Millis
    idle_since: Millis | None
    """None while it works for an attempt."""
    hello: agent.Hello | None
    created_at: Millis
    note: str = ""


def add(unit: Unit, rows: Sequence[NodeRow]) -> None:
    for row in rows:
        unit.connection.execute(
            insert(nodes).values(
                id=row.id,
                group_id=row.group,
                provider=row.provider,
                instance_type=row.instance_type,
                amount=codec.dump(codec.amount_data(row.amount)),
                state=row.state,
                state_since=row.state_since,
                idle_since=row.idle_since,
                created_at=row.created_at,
                note=row.note,
            )
        )
        events.append(unit.connection, row.id, "NodeWished", row.created_at, {"instance_type": row.instance_type})


def get(connection: Connection, node: str) -> NodeRow | None:
    row = connection.execute(select(nodes).where(nodes.c.id == node)).one_or_none()
    return None if row is None else _node(row)


def lock(unit: Unit, node: str) -> NodeRow | None:
    row = unit.connection.execute(
        dialect.locked(unit.connection, select(nodes).where(nodes.c.id == node))
    ).one_or_none()
    return None if row is None else _node(row)


def present(connection: Connection) -> list[NodeRow]:
    """Every node that is not known to be gone."""
    return [_node(row) for row in connection.execute(select(nodes).where(nodes.c.state.in_(PRESENT)))]


def move(unit: Unit, node: NodeRow, state: str, now: Millis, note: str = "") -> None:
    """Put a node into a state, with its event."""
    if node.state == state:
        return
    unit.connection.execute(update(nodes).where(nodes.c.id == node.id).values(state=state, state_since=now, note=note))
    events.append(
        unit.connection, node.id, "NodeMoved", now, {"from": node.state, "to": state} | ({"note": note} if note else {})
    )
    unit.wake("fleet", f"node:{node.id}")


def greet(unit: Unit, node: NodeRow, hello: agent.Hello) -> None:
    unit.connection.execute(
        update(nodes).where(nodes.c.id == node.id).values(hello=msgspec.json.encode(hello).decode())
    )


def set_idle(unit: Unit, node: NodeId, since: Millis | None) -> None:
    unit.connection.execute(update(nodes).where(nodes.c.id == node).values(idle_since=since))


def claim_warm(unit: Unit, node: NodeId) -> bool:
    """Take an idle ready node; False when somebody else has it."""
    done = unit.connection.execute(
        update(nodes)
        .where(nodes.c.id == node, nodes.c.state == "ready", nodes.c.idle_since.is_not(None))
        .values(idle_since=None)
    )
    return done.rowcount == 1


def _node(row: Row[Any]) -> NodeRow:
    return NodeRow(
        id=NodeId(row.id),
        group=GroupId(row.group_id),
        provider=row.provider,
        instance_type=row.instance_type,
        amount=codec.amount_of(codec.load(row.amount)),
        state=row.state,
        state_since=Millis(row.state_since),
        idle_since=row.idle_since,
        hello=None if row.hello is None else msgspec.json.decode(row.hello, type=agent.Hello),
        created_at=Millis(row.created_at),
        note=row.note,
    )
