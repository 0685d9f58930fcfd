"""What all attempts of an agent share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mayfly.node.ahead import Ahead
from mayfly.node.checkpoints import Pace
from mayfly.node.environments import Environments
from mayfly.node.folders import NodeFolder
from mayfly.node.images import Images
from mayfly.node.launch import GRACE_S
from mayfly.node.limits import Machine
from mayfly.node.mounts import missing
from mayfly.node.nursery import Nursery
from mayfly.node.reporter import Reporter
from mayfly.node.sandbox import Strategy
from mayfly.node.server import Server

USER = "mayfly"
"""The name a job's user has inside."""


@dataclass(slots=True)
class Workplace:
    """The agent's parts, as an attempt uses them."""

    node: NodeFolder
    server: Server
    reporter: Reporter
    environments: Environments
    images: Images
    strategy: Strategy
    machine: Machine
    nursery: Nursery
    ahead: Ahead
    now: Callable[[], int]
    tracking_uri: Callable[[], str]
    address: Callable[[], str]
    keep: tuple[int, ...] = ()
    """Descriptors that supervisors inherit: the node's lock."""
    grace_s: float = GRACE_S
    pace: Pace = field(default_factory=Pace)
    """Of checkpoints."""
    cannot_mount: str = field(default_factory=missing)
    """Why inputs cannot be streamed on this machine; '' when they can."""
    variables: dict[str, str] = field(default_factory=dict)
