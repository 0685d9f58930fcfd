"""Nodes as rows. Who works where stands in `store.attempts`; `apply` is the only writer of what `domain.node.step`
decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from mayfly.domain.compute import Amount
from mayfly.domain.node import Assigned, Node, NodeEvent, NodeState, step
from mayfly.kit.clock import Millis
from mayfly.kit.ids import GroupId, NodeId
from mayfly.store import codec, events
from mayfly.store.statements import Statement
from mayfly.store.tables import nodes
from mayfly.store.unit import Unit
from mayfly.wire import agent

PRESENT = tuple(state.value for state in NodeState if state is not NodeState.GONE)
_ONE = select(nodes).where(nodes.c.id == bindparam("one"))
_GET, _LOCK, _ADD = Statement(_ONE), Statement(_ONE, locks=True), Statement(insert(nodes))
_PRESENT = Statement(select(nodes).where(or_(*(nodes.c.state == state for state in PRESENT))))
_CHANGE = Statement(
    update(nodes)
    .where(nodes.c.id == bindparam("one"))
    .values({name: bindparam(name) for name in ("state", "state_since", "idle_since", "note")})
)


@dataclass(frozen=True, slots=True)
class NodeRow:
    node: Node
    provider: str
    amount: Amount
    hello: agent.Hello | None
    created_at: Millis

    @property
    def id(self) -> NodeId:
        return self.node.id

    @property
    def state(self) -> NodeState:
        return self.node.state


def add(unit: Unit, rows: Sequence[NodeRow]) -> None:
    if not rows:
        return
    _ADD.run_all(
        unit.connection,
        [
            {
                "id": row.id,
                "group_id": row.node.group,
                "provider": row.provider,
                "instance_type": row.node.instance_type,
                "amount": codec.dump(codec.amount_data(row.amount)),
                "created_at": row.created_at,
                **_life(row.node),
            }
            for row in rows
        ],
    )
    events.append_all(
        unit,
        [
            events.values_of(row.id, "NodeWished", row.created_at, {"instance_type": row.node.instance_type})
            for row in rows
        ],
    )


def get(connection: Connection, node: str) -> NodeRow | None:
    row = _GET.one(connection, {"one": node})
    return None if row is None else _row(row)


def lock(unit: Unit, node: str) -> NodeRow | None:
    """As `get`, held until the unit ends."""
    row = _LOCK.one(unit.connection, {"one": node})
    return None if row is None else _row(row)


def present(connection: Connection) -> list[NodeRow]:
    """Every node that is not known to be gone."""
    return [_row(row) for row in _PRESENT.all(connection)]


def apply(unit: Unit, row: NodeRow, event: NodeEvent, now: Millis) -> NodeRow:
    """Move a locked node by one event, and write what changed; the row as it is afterwards. When it was last heard is
    not kept here (services.contacts)."""
    after = step(row.node, event, now)
    if _life(after) == _life(row.node):
        return row
    _CHANGE.run(unit.connection, {"one": row.id, **_life(after)})
    if after.state is not row.state:
        data = {"from": row.state.value, "to": after.state.value} | ({"note": after.note} if after.note else {})
        events.append(unit, row.id, "NodeMoved", now, data)
        unit.wake("fleet")
    unit.wake(f"node:{row.id}")
    return replace(row, node=after)


def claim_warm(unit: Unit, node: NodeId, now: Millis) -> bool:
    """Give an idle ready node an attempt; False when somebody else has it."""
    row = lock(unit, node)
    return row is not None and apply(unit, row, Assigned(), now) is not row


def keep_hello(unit: Unit, node: NodeId, hello: agent.Hello) -> None:
    unit.connection.execute(update(nodes).where(nodes.c.id == node).values(hello=msgspec.json.encode(hello).decode()))


def _life(node: Node) -> dict[str, Any]:
    return {
        "state": node.state.value,
        "state_since": node.state_since,
        "idle_since": node.idle_since,
        "note": node.note,
    }


def _row(row: Row[Any]) -> NodeRow:
    state = NodeState(row.state)
    node = Node(
        id=NodeId(row.id),
        group=GroupId(row.group_id),
        instance_type=row.instance_type,
        state_since=Millis(row.state_since),
        state=state,
        busy=row.idle_since is None and state is not NodeState.GONE,
        idle_since=row.idle_since,
        note=row.note,
    )
    hello = None if row.hello is None else msgspec.json.decode(row.hello, type=agent.Hello)
    return NodeRow(node, row.provider, codec.amount_in(row.amount), hello, Millis(row.created_at))
