"""What the server wishes of one rank of an attempt: the whole of it, every time, from the job as it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mayfly.domain.job import Job, JobState, RankState


class Action(StrEnum):
    PREPARE = "prepare"
    RUN = "run"
    """Its start is granted."""
    STOP = "stop"
    """End what runs; what it left is still collected."""
    DISCARD = "discard"
    """Nothing of the attempt may remain."""


@dataclass(frozen=True, slots=True)
class Wished:
    action: Action
    why: str = ""
    """Of a stop: cancel, timeout or peer."""


def wished(job: Job, rank: int, *, holds: bool) -> Wished:
    """`holds`: whether the rank's attempt holds the job's fence; of one that does not, nothing may remain."""
    if not holds:
        return Wished(Action.DISCARD)
    if job.state is JobState.CANCEL_REQUESTED:
        timed_out = job.cause is not None and job.cause.code == "JobTimedOut"
        return Wished(Action.STOP, "timeout" if timed_out else "cancel")
    if job.state in (JobState.RUNNING, JobState.FINALIZING):
        failed = job.cause is not None and not job.ranks[rank].reached(RankState.EXITED)
        return Wished(Action.STOP, "peer") if failed else Wished(Action.RUN)
    return Wished(Action.PREPARE)
