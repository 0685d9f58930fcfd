"""The port to whatever gives machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mayfly.domain.compute import Amount, Fleet
from mayfly.kit.ids import GroupId, NodeId


@dataclass(frozen=True, slots=True)
class NodeWish:
    node: NodeId
    token: str
    """The node's own token: the agent must present it; it must never appear in argv or logs."""
    instance_type: str
    amount: Amount


@dataclass(frozen=True, slots=True)
class GroupWish:
    """Nodes that are wanted together, all or none."""

    group: GroupId
    nodes: tuple[NodeWish, ...]


class Presence(StrEnum):
    PENDING = "pending"
    READY = "ready"
    REFUSED = "refused"
    DOWN = "down"
    """Nothing of it answers, but its disk is there: `create` brings it back with all that it had recorded."""
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Sighting:
    """`gone` is a confirmation: nothing of the node runs any more and nothing will."""

    node: NodeId
    presence: Presence
    reason: str = ""


class ComputeProvider(Protocol):
    """A provider's only duty is to get `mayfly node` running on machines of the right size (house §2.4).

    All calls are repeatable and carry our ids. `create` of a group that exists changes nothing; it returns before the
    nodes are ready and may be killed half-way: calling it again completes the group. `delete` of an unknown node
    changes nothing; it asks politely first and may return before the node is gone. `list` tells of every node of
    the given ids, also those it has never heard of (gone), also after our own restart. None of them may be called
    inside a transaction.
    """

    def fleet(self) -> Fleet: ...

    def create(self, group: GroupWish) -> None: ...

    def delete(self, nodes: Sequence[NodeId]) -> None: ...

    def list(self, nodes: Sequence[NodeId]) -> Sequence[Sighting]: ...
