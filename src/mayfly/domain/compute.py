"""What compute is made of: instance types, tiers, requests, placements and what they hold.

The nouns that the catalogue, the quota rules, the scheduler and the fleet share. Cores are whole vCPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mayfly.kit.ids import NodeId


class Tier(StrEnum):
    STANDARD = "Standard"
    SPOT = "Spot"


class Target(StrEnum):
    """Where a job asked to run (semantics §5)."""

    SERVERLESS = "serverless"
    LOCAL = "local"
    """This machine: capacity yes, quota no."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars an hour for one node, with where and when the number was read."""

    usd_per_hour: float
    source: str
    as_of: str


@dataclass(frozen=True, slots=True)
class InstanceType:
    name: str
    family: str
    vcpus: int
    memory_gib: float
    disk_gib: float
    gpus: int = 0
    gpu_model: str | None = None
    prices: Mapping[Tier, Price] = field(default_factory=dict)
    """A tier that is missing has no known price, shown as unknown."""
    speed: float = 1.0
    """One core's speed relative to a Standard_D2s_v3 core."""
    retired: bool = False
    own: bool = False
    """A size of this machine (`local_N`): costs nothing; its price is the nearest list price, for comparison only."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What a job asks of the fleet. `instance_type` None: Mayfly chooses."""

    instance_type: str | None = None
    node_count: int = 1
    tier: Tier = Tier.STANDARD
    target: Target = Target.SERVERLESS
    disk_gib: float | None = None
    """Disk the job is known to need on each node (code, inputs), None when unknown."""


@dataclass(frozen=True, slots=True, order=True)
class LedgerKey:
    """One row of the quota ledger. `scope` is `subscription:<id>` or `workspace:<id>`; family `*` is the total of all.
    Spot has one number across all families (semantics §7): its family is `*`."""

    scope: str
    family: str
    tier: Tier


@dataclass(frozen=True, slots=True)
class Quota:
    """vCPUs. A scope without a row has no limit of its own (a workspace shares its subscription's)."""

    limit: int
    held: int = 0

    @property
    def left(self) -> int:
        return max(0, self.limit - self.held)


@dataclass(frozen=True, slots=True)
class Amount:
    """Real resources of the fleet: cores, memory in MiB, whole GPUs by their UUIDs."""

    cores: int = 0
    memory_mib: int = 0
    gpus: frozenset[str] = frozenset()

    def fits(self, inside: Amount) -> bool:
        return self.cores <= inside.cores and self.memory_mib <= inside.memory_mib and self.gpus <= inside.gpus

    def plus(self, other: Amount) -> Amount:
        return Amount(self.cores + other.cores, self.memory_mib + other.memory_mib, self.gpus | other.gpus)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a provider can ever give."""

    provider: str
    total: Amount
    own_sizes: tuple[InstanceType, ...]
    """Sizes the fleet really gives, in rising order."""
    disk_gib: float
    emulates: bool = False
    """Whether a named larger size may run on what there is, accounted at its declared size."""
    max_nodes: int = 64
    """The largest gang the fleet takes, emulated ones included."""
    orphan_s: float | None = None
    """How long a node without contact to its server goes on before it ends by itself, its jobs too; None: for as long as they
    run."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A decision to run a gang now. All-or-nothing: every rank, every ledger, or nothing."""

    instance_type: InstanceType
    node_count: int
    tier: Tier
    emulated: bool
    """Runs on less than its declared size and takes the whole machine while it does."""
    quota: Mapping[LedgerKey, int]
    """vCPUs to add to each ledger row, in the order of the keys."""
    capacity: Amount
    """Real resources for the whole gang."""
    per_node: Amount
    """Real resources of each rank (the limits that its node enforces)."""
    reuse: tuple[NodeId, ...] = ()
    """Warm nodes to take, at most `node_count`; the rest are created."""
