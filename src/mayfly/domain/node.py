"""The life of a node: one pure `step(node, event, now) -> node`. A node lives exactly as long as work needs it.

Three clocks, kept apart (promise 5): *heartbeat* (`suspected`) is shown and never ends a node; *idle* (`idle_too_long`)
begins anew whenever it is freed; the orphan limit is the node's own business. Only the provider's word makes a node gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mayfly.kit.clock import Millis
from mayfly.kit.ids import GroupId, NodeId

HEARTBEAT_MS = 8_000
"""A ready node silent for longer is suspected."""
IDLE_MS = 120_000
"""How long a node without work stays warm (semantics §5.11)."""


class NodeState(StrEnum):
    WISHED = "wished"
    """Decided, the provider has not been asked yet."""
    CREATING = "creating"
    READY = "ready"
    DRAINING = "draining"
    """Takes nothing new; is deleted when it is free."""
    DELETING = "deleting"
    GONE = "gone"
    """Confirmed by the provider: nothing of it runs and nothing will."""


LEAVING = frozenset({NodeState.DRAINING, NodeState.DELETING, NodeState.GONE})


@dataclass(frozen=True, slots=True)
class Node:
    id: NodeId
    group: GroupId
    instance_type: str
    state_since: Millis
    state: NodeState = NodeState.WISHED
    busy: bool = True
    """An attempt has a rank on it; a node is wished for one, so it is born busy."""
    last_heard: Millis | None = None
    idle_since: Millis | None = None
    """Since when it has no work, None while it has."""
    note: str = ""
    """Why it is in its state, for people."""


@dataclass(frozen=True, slots=True)
class Created:
    """The provider has taken the wish."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Its agent called: it is there."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """An attempt was given to it."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Nothing of any attempt is left on it."""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """By a person, or because its agent is of an older version."""


@dataclass(frozen=True, slots=True)
class IdleTimedOut:
    """It was looked at and had been idle for too long; nothing happens if it has work again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider cannot give it."""

    reason: str


@dataclass(frozen=True, slots=True)
class SeenGone:
    """The provider confirms that nothing of it runs any more."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class ServerRestarted:
    """The server was away, so silence proves nothing: a full heartbeat window begins."""


@dataclass(frozen=True, slots=True)
class ClockSetBack:
    """The clock may have been set back, so what it said before says nothing: times to come begin now."""


NodeEvent = (
    Created | Heard | Assigned | Freed | DrainAsked | IdleTimedOut | Refused | SeenGone | ServerRestarted | ClockSetBack
)


def step(node: Node, event: NodeEvent, now: Millis) -> Node:
    """The next node; the same object when the event is late, repeated or changes nothing. `gone` is never left."""
    if node.state is NodeState.GONE:
        return node
    match event:
        case Created():
            return _move(node, NodeState.CREATING, now) if node.state is NodeState.WISHED else node
        case Heard():
            return _heard(node, now)
        case Assigned():
            return node if node.busy or node.state in LEAVING else replace(node, busy=True, idle_since=None)
        case Freed():
            return _freed(node, now)
        case DrainAsked():
            return _drain(node, now)
        case IdleTimedOut():
            idle = node.state is NodeState.READY and node.idle_since is not None
            return _move(node, NodeState.DELETING, now, "idle") if idle else node
        case Refused(reason) | SeenGone(reason):
            return replace(_move(node, NodeState.GONE, now, reason), busy=False, idle_since=None)
        case ServerRestarted():
            return node if node.last_heard is None else replace(node, last_heard=now)
        case ClockSetBack():
            return _set_back(node, now)


def _heard(node: Node, now: Millis) -> Node:
    node = replace(node, last_heard=now) if node.last_heard != now else node
    return _move(node, NodeState.READY, now) if node.state in (NodeState.WISHED, NodeState.CREATING) else node


def _freed(node: Node, now: Millis) -> Node:
    if not node.busy:
        return node
    node = replace(node, busy=False, idle_since=now)
    return _move(node, NodeState.DELETING, now, node.note) if node.state is NodeState.DRAINING else node


def _drain(node: Node, now: Millis) -> Node:
    if node.state in LEAVING:
        return node
    return _move(node, NodeState.DRAINING if node.busy else NodeState.DELETING, now, "drain")


def _move(node: Node, state: NodeState, now: Millis, note: str = "") -> Node:
    return node if node.state is state else replace(node, state=state, state_since=now, note=note)


def ahead(node: Node, now: Millis) -> bool:
    """Whether it is said to have become what it is later than now: the clock was set back since."""
    return max(node.state_since, node.last_heard or 0, node.idle_since or 0) > now


def _set_back(node: Node, now: Millis) -> Node:
    if not ahead(node, now):
        return node
    heard = None if node.last_heard is None else Millis(min(node.last_heard, now))
    idle = None if node.idle_since is None else Millis(min(node.idle_since, now))
    return replace(node, state_since=Millis(min(node.state_since, now)), last_heard=heard, idle_since=idle)


def suspected(node: Node, now: Millis, limit: int = HEARTBEAT_MS) -> bool:
    """Whether a node that should be calling has been silent for longer than the limit. It is only shown."""
    if node.last_heard is None or node.state not in (NodeState.READY, NodeState.DRAINING):
        return False
    return now - node.last_heard > limit


def idle_too_long(node: Node, now: Millis, limit: int = IDLE_MS) -> bool:
    """Whether a free node has been without work for the limit, counted from its last release."""
    return node.state is NodeState.READY and node.idle_since is not None and now - node.idle_since >= limit
