"""The scheduler's view of the world, by class: counts and heads, never an object for each queued job (house §2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mayfly.domain.compute import Amount, Fleet, InstanceType, LedgerKey, Placement, Quota, ResourceRequest
from mayfly.domain.job import Phase
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, NodeId, WorkspaceId


@dataclass(frozen=True, slots=True, order=True)
class ClassKey:
    """Jobs that the scheduler cannot tell apart but by age."""

    workspace: WorkspaceId
    subscription: str
    submitter: str
    priority: int
    """1 low, 2 medium (default), 3 high."""
    request: str
    """Canonical text of the ResourceRequest."""


@dataclass(frozen=True, slots=True)
class Head:
    job: JobId
    sequence: int
    """The order of submission."""
    queued_at: Millis


@dataclass(frozen=True, slots=True)
class JobClass:
    key: ClassKey
    request: ResourceRequest
    waiting: int
    """How many jobs of the class wait, ≥ len(heads)."""
    heads: tuple[Head, ...]
    """The oldest, in order."""


@dataclass(frozen=True, slots=True)
class RunningGroup:
    """A class of live placements, for explanations and estimates."""

    submitter: str
    instance_type: str
    capacity: Amount
    """Of all of them together."""
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    fleet: Fleet
    catalogue: Mapping[str, InstanceType]
    classes: tuple[JobClass, ...]
    quotas: Mapping[LedgerKey, Quota]
    capacity_held: Amount
    warm: Mapping[str, tuple[NodeId, ...]] = field(default_factory=dict)
    """Idle nodes by instance type name."""
    running: tuple[RunningGroup, ...] = ()
    recent: Mapping[str, float] = field(default_factory=dict)
    """Submitter → cores held now, the measure of fair share."""


@dataclass(frozen=True, slots=True)
class Start:
    job: JobId
    placement: Placement
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Candidate:
    """One size that was looked at. `refused` is the first predicate that said no, as a code and a sentence."""

    instance_type: str
    score: float | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    """quota, cost, performance, disk; each 0 … 1, higher is better."""
    refused: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a class got its placement, or why it waits. `missing` is 'quota', 'capacity', 'turn' or None (placed)."""

    sentence: str
    missing: str | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def phase(self) -> Phase:
        """Of the jobs that wait for that."""
        return Phase.QUOTA if self.missing == "quota" else Phase.CAPACITY


@dataclass(frozen=True, slots=True)
class Plan:
    starts: tuple[Start, ...]
    waits: Mapping[ClassKey, Explanation]
    """Written anew only when the explanation differs from the one kept."""
