"""A job as it is decided about: its states (Azure's names, semantics §6), its ranks and where its seconds went.

What happens to it, and how one becomes the next, stands in `domain.life`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId


class JobState(StrEnum):
    QUEUED = "Queued"
    PROVISIONING = "Provisioning"
    PREPARING = "Preparing"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


class Phase(StrEnum):
    """Where a second of a job's life goes (promise 8)."""

    VALIDATE = "validate"
    QUOTA = "quota"
    CAPACITY = "capacity"
    PROVISION = "provision"
    ENVIRONMENT = "environment"
    INPUTS = "inputs"
    START = "start"
    RUN = "run"
    OUTPUTS = "outputs"
    RELEASE = "release"
    RETRY_WAIT = "retry wait"
    CANCELLING = "cancelling"
    NOT_RESPONDING = "not responding"


PREPARATION = (Phase.PROVISION, Phase.ENVIRONMENT, Phase.INPUTS, Phase.START)


class RankState(StrEnum):
    """One node of an attempt, as the server knows it."""

    ASSIGNED = "assigned"
    PREPARING = "preparing"
    READY = "ready"
    STARTED = "started"
    EXITED = "exited"
    COLLECTED = "collected"
    RELEASED = "released"


_RANK_ORDER = tuple(RankState)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a job ended or is ending: a stable code and a sentence."""

    code: str
    message: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    state: RankState = RankState.ASSIGNED
    phase: Phase = Phase.PROVISION
    exit_code: int | None = None
    """The first non-zero exit status among this node's processes (128 + n for signal n), else 0."""
    before_cancel: bool = True
    """Whether its exit record is older than the agent's receipt of a cancel."""
    cause: Cause | None = None
    """Why this rank fails the job: its processes' own end, or a node that went without handing over its outputs."""

    def reached(self, state: RankState) -> bool:
        return _RANK_ORDER.index(self.state) >= _RANK_ORDER.index(state)


@dataclass(frozen=True, slots=True)
class Job:
    """`phases` are closed spans in milliseconds; the open one is `phase` since `phase_since`."""

    id: JobId
    node_count: int
    """0: it has no nodes of its own, only children."""
    created_at: Millis
    phase_since: Millis
    state: JobState = JobState.QUEUED
    phase: Phase = Phase.VALIDATE
    phases: Mapping[Phase, int] = field(default_factory=dict)
    attempt: int = 0
    """0 before the first reservation; each reservation adds one."""
    ranks: tuple[Rank, ...] = ()
    retries_left: int = 0
    """How often a lost or pre-empted attempt is put back in the queue (never used for the user's own failures)."""
    cause: Cause | None = None
    started_at: Millis | None = None
    ended_at: Millis | None = None
    suspected_since: Millis | None = None
    """Set while a node of the attempt is silent: shown as NotResponding, never a cause of anything by itself."""

    @property
    def composite(self) -> bool:
        return self.node_count == 0

    @property
    def live(self) -> bool:
        """Whether an attempt exists that may still hold nodes."""
        return self.attempt > 0 and bool(self.ranks) and not all(r.reached(RankState.RELEASED) for r in self.ranks)

    @property
    def may_start(self) -> bool:
        """Whether every rank has been granted its start (all ready, nobody cancelled)."""
        return self.state is JobState.RUNNING


def open_spans(job: Job, now: Millis) -> tuple[tuple[Phase, int], ...]:
    """What has passed since `phase_since`, in milliseconds: the phase's own part, then the silent one if any."""
    whole = max(0, now - job.phase_since)
    if job.suspected_since is None:
        return ((job.phase, whole),)
    silent = min(whole, max(0, now - max(job.suspected_since, job.phase_since)))
    return ((job.phase, whole - silent), (Phase.NOT_RESPONDING, silent))
