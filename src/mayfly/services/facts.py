"""What a node's report means for the life of its job: pure, and the same however often it is told."""

from __future__ import annotations

from mayfly.domain.job import PREPARATION, Cause, Job, Phase
from mayfly.domain.life import (
    AttemptLost,
    CancelAsked,
    JobEvent,
    PhaseEntered,
    PreparationFailed,
    RankCollected,
    RankExited,
    RankReady,
    RankStarted,
)
from mayfly.wire import agent

TIMED_OUT = Cause(
    "JobTimedOut",
    "The command ran longer than limits.timeout and was ended.",
    "Raise limits.timeout, or save checkpoints to ./outputs.",
)
_OUT_OF_MEMORY = Cause(
    "OutOfMemory",
    "The command was ended because it used more memory than its node has.",
    "Choose a size with more memory in resources.instance_type, or smaller batches.",
)


def events(job: Job, report: agent.Report) -> tuple[JobEvent, ...]:
    """In order; none for what moves no job. `report` is of the job's present attempt."""
    attempt, rank = report.fence.attempt, report.rank
    match report:
        case agent.PhaseEntered():
            known = report.phase in PREPARATION
            return (PhaseEntered(attempt, rank, Phase(report.phase)),) if known else ()
        case agent.Ready():
            return (RankReady(attempt, rank),)
        case agent.Started():
            return (RankStarted(attempt, rank),)
        case agent.Exited():
            asked = (CancelAsked(TIMED_OUT),) if report.timed_out else ()
            return (*asked, _exit(job, report))
        case agent.PreparationFailed():
            return (PreparationFailed(attempt, rank, Cause(report.code, report.message, report.remedy or None)),)
        case agent.Collected():
            return (RankCollected(attempt, rank, Cause(report.code, report.message) if report.code else None),)
        case _:
            return ()


def _exit(job: Job, report: agent.Exited) -> JobEvent:
    attempt, rank = report.fence.attempt, report.rank
    code = next((one.code for one in report.exits if one.code), 0)
    cause = None
    if report.lost:
        told = report.lost if report.lost_code else f"The exit status is unknown: {report.lost}"
        code, cause = code or 137, Cause(report.lost_code or "SupervisorLost", told)
        if report.lost_code in ("", "NodeLost") and job.retries_left:  # no fault of the command's
            return AttemptLost(attempt, cause, retry=True)
    elif any(one.oom for one in report.exits):
        cause = _OUT_OF_MEMORY
    return RankExited(attempt, rank, code, report.before_stop and not report.timed_out, cause)
