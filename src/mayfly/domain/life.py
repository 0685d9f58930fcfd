"""The life of a job: one pure `step(job, event, now) -> job`. Nothing else assigns a job's state.

States carry Azure's names (semantics §6). A job is Queued until quota and capacity are reserved for an *attempt*, which
is a gang of ranks (one a node). Only events of the current attempt move it: an event of an older attempt is stale and
changes nothing (promise 2). A terminal state is never left (promise 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mayfly.domain.job import PREPARATION, Cause, Job, JobState, Phase, Rank, RankState, open_spans
from mayfly.kit.clock import Millis

_NOT_GRANTED = frozenset({JobState.QUEUED, JobState.PROVISIONING, JobState.PREPARING})


@dataclass(frozen=True, slots=True)
class Waiting:
    """The scheduler looked and found no room; `reason` is QUOTA or CAPACITY."""

    reason: Phase


@dataclass(frozen=True, slots=True)
class Reserved:
    """Quota and capacity were taken for a new attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """It can never run: its environment has no solution, say. Ends a job that has no start yet, whatever its attempt."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """A rank works on a phase of preparation."""

    attempt: int
    rank: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class RankReady:
    """A rank has materialised everything and asks to start (the durable `starting(attempt)` question)."""

    attempt: int
    rank: int


@dataclass(frozen=True, slots=True)
class RankStarted:
    attempt: int
    rank: int


@dataclass(frozen=True, slots=True)
class RankExited:
    """The exit record of every process of a rank is on its disk. `before_cancel`: the record is older than the agent's
    receipt of the cancel."""

    attempt: int
    rank: int
    exit_code: int
    before_cancel: bool = True
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class PreparationFailed:
    attempt: int
    rank: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class RankCollected:
    """Outputs and the whole log of a rank have arrived; `cause` when collecting failed."""

    attempt: int
    rank: int
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class RankReleased:
    """Nothing of the attempt is left on the rank's node, or the provider confirms the node gone."""

    attempt: int
    rank: int


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A user's or a policy's decision. `unreachable`: the attempt's node is silent, so nobody can confirm."""

    cause: Cause
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Suspected:
    attempt: int


@dataclass(frozen=True, slots=True)
class Heard:
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """Policy gave the attempt up: node lost, pre-empted, or refused by the provider. It is fenced by this event."""

    attempt: int
    cause: Cause
    retry: bool = False
    """Whether this cause may use one of the job's retries."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job without nodes of its own begins: its children will come."""


@dataclass(frozen=True, slots=True)
class ChildrenEnded:
    """Nothing of a job without nodes of its own goes on any more; `cause` when that is a failure."""

    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Reused:
    """An earlier job did exactly this: what it left is this one's, and no node is needed."""


JobEvent = (
    Waiting
    | Reserved
    | Rejected
    | PhaseEntered
    | RankReady
    | RankStarted
    | RankExited
    | PreparationFailed
    | RankCollected
    | RankReleased
    | CancelAsked
    | Suspected
    | Heard
    | AttemptLost
    | Begun
    | ChildrenEnded
    | Reused
)


def step(job: Job, event: JobEvent, now: Millis) -> Job:
    """The next job. Returns the same object when the event is stale, repeated or changes nothing, so events may be
    lost, doubled or late; those of one rank are expected in their own order. A moment before the last known one counts
    as that one, so that no span is negative and phases add up to the job's whole life."""
    now = Millis(max(now, job.phase_since, job.suspected_since or 0))
    if isinstance(event, Waiting):
        return _enter(job, event.reason, now) if job.state is JobState.QUEUED else job
    if isinstance(event, Reserved):
        return _reserved(job, event, now)
    if isinstance(event, CancelAsked):
        return _cancel_asked(job, event, now)
    if isinstance(event, Rejected):
        return _end(job, JobState.FAILED, event.cause, now) if job.state in _NOT_GRANTED else job
    if isinstance(event, Begun):
        begins = job.composite and job.state is JobState.QUEUED
        return replace(_enter(job, Phase.RUN, now), state=JobState.RUNNING, started_at=now) if begins else job
    if isinstance(event, Reused):
        fresh = job.state is JobState.QUEUED and job.attempt == 0
        return _end(job, JobState.COMPLETED, None, now) if fresh else job
    if isinstance(event, ChildrenEnded):
        return _children_ended(job, event, now)
    if event.attempt != job.attempt or not job.ranks:
        return job
    if isinstance(event, Suspected):
        if job.state.terminal or job.suspected_since is not None:
            return job
        return replace(job, suspected_since=now)
    if isinstance(event, Heard):
        return _heard(job, now)
    if isinstance(event, AttemptLost):
        return _lost(job, event, now)
    return _rank_event(job, event, now)


def _reserved(job: Job, event: Reserved, now: Millis) -> Job:
    if job.state is not JobState.QUEUED or event.attempt != job.attempt + 1 or job.composite:
        return job
    job = _enter(job, Phase.PROVISION, now)
    return replace(
        job,
        state=JobState.PROVISIONING,
        attempt=event.attempt,
        ranks=tuple(Rank() for _ in range(job.node_count)),
        suspected_since=None,
    )


def _cancel_asked(job: Job, event: CancelAsked, now: Millis) -> Job:
    if job.state.terminal or (job.state is JobState.CANCEL_REQUESTED and not event.unreachable):
        return job
    if job.state in _NOT_GRANTED or event.unreachable or not (job.live or job.composite):
        cause = job.cause if job.state is JobState.CANCEL_REQUESTED else event.cause
        return _end(
            job, JobState.CANCELED, cause or event.cause, now
        )  # no start was granted, so none will be (promise 7)
    if job.state is JobState.FINALIZING:
        return job  # the processes have ended: their result stands (promise 7)
    return replace(_enter(job, Phase.CANCELLING, now), state=JobState.CANCEL_REQUESTED, cause=event.cause)


def _children_ended(job: Job, event: ChildrenEnded, now: Millis) -> Job:
    if not job.composite or job.state not in (JobState.RUNNING, JobState.CANCEL_REQUESTED):
        return job
    if job.state is JobState.CANCEL_REQUESTED:
        return _end(job, JobState.CANCELED, job.cause or Cause("Canceled", "Canceled."), now)
    return _end(job, JobState.COMPLETED if event.cause is None else JobState.FAILED, event.cause, now)


def _heard(job: Job, now: Millis) -> Job:
    if job.suspected_since is None:
        return job
    return replace(job, phases=_closed(job, now), phase_since=now, suspected_since=None)


def _lost(job: Job, event: AttemptLost, now: Millis) -> Job:
    if job.state.terminal:
        return job
    if job.state is JobState.CANCEL_REQUESTED:
        return _end(job, JobState.CANCELED, job.cause or event.cause, now)
    if job.cause is not None:  # a rank had failed by itself already: that is the truth, and a retry would not mend it
        return _end(job, JobState.FAILED, job.cause, now)
    if event.retry and job.retries_left > 0:
        job = _enter(job, Phase.RETRY_WAIT, now)
        return replace(
            job, state=JobState.QUEUED, ranks=(), retries_left=job.retries_left - 1, cause=None, suspected_since=None
        )
    return _end(job, JobState.FAILED, event.cause, now)


def _rank_event(
    job: Job,
    event: PhaseEntered | RankReady | RankStarted | RankExited | PreparationFailed | RankCollected | RankReleased,
    now: Millis,
) -> Job:
    if not 0 <= event.rank < len(job.ranks):
        return job
    rank = job.ranks[event.rank]
    if isinstance(event, RankReleased):
        return _released(job, rank, event, now)
    if job.state.terminal:
        return job
    if isinstance(event, PhaseEntered):
        if rank.reached(RankState.READY) or not _later(event.phase, rank.phase):
            return job
        return _regroup(_with_rank(job, event.rank, replace(rank, state=RankState.PREPARING, phase=event.phase)), now)
    if isinstance(event, RankReady):
        if rank.reached(RankState.READY):
            return job
        return _regroup(_with_rank(job, event.rank, replace(rank, state=RankState.READY, phase=Phase.START)), now)
    if isinstance(event, RankStarted):
        if rank.reached(RankState.STARTED):
            return job
        return _with_rank(job, event.rank, replace(rank, state=RankState.STARTED, phase=Phase.RUN))
    if isinstance(event, PreparationFailed):
        if rank.reached(RankState.STARTED):
            return job
        job = _with_rank(job, event.rank, replace(rank, state=RankState.COLLECTED, exit_code=None))
        return _preparation_failed(job, event, now)
    if isinstance(event, RankExited):
        return _exited(job, rank, event, now)
    return _collected(job, rank, event, now)


def _later(phase: Phase, than: Phase) -> bool:
    """Whether a rank that is in `than` moves on by entering `phase`; a late repeat of an earlier one does not."""
    return phase in PREPARATION and PREPARATION.index(phase) > PREPARATION.index(than)


def _released(job: Job, rank: Rank, event: RankReleased, now: Millis) -> Job:
    if rank.state is RankState.RELEASED:
        return job
    cause = rank.cause
    if not job.state.terminal and not rank.reached(RankState.COLLECTED):
        cause = cause or Cause("NodeLost", f"Node {event.rank} went before its outputs were collected.")
    job = _with_rank(job, event.rank, replace(rank, state=RankState.RELEASED, cause=cause))
    if job.state in (JobState.CANCEL_REQUESTED, JobState.FINALIZING):
        return _settled(job, now)
    return job  # ended, or policy will declare the attempt lost


def _regroup(job: Job, now: Millis) -> Job:
    """A gang's phase is its slowest node's; it runs when all are ready, and never when one is gone."""
    if job.state not in (JobState.PROVISIONING, JobState.PREPARING):
        return job
    if any(r.state is RankState.RELEASED for r in job.ranks):
        return job
    if all(r.reached(RankState.READY) for r in job.ranks):
        return replace(_enter(job, Phase.RUN, now), state=JobState.RUNNING, started_at=now)
    slowest = min((r.phase for r in job.ranks if not r.reached(RankState.READY)), key=PREPARATION.index)
    job = _enter(job, slowest, now)
    return replace(job, state=JobState.PROVISIONING if slowest is Phase.PROVISION else JobState.PREPARING)


def _preparation_failed(job: Job, event: PreparationFailed, now: Millis) -> Job:
    if job.state is JobState.CANCEL_REQUESTED:
        return _end(job, JobState.CANCELED, job.cause or event.cause, now)
    return _end(job, JobState.FAILED, event.cause, now)


def _exited(job: Job, rank: Rank, event: RankExited, now: Millis) -> Job:
    if rank.reached(RankState.EXITED):
        return job
    failed = event.cause or (exit_cause(event.exit_code, event.rank, job.node_count) if event.exit_code else None)
    after = replace(
        rank,
        state=RankState.EXITED,
        exit_code=event.exit_code,
        before_cancel=event.before_cancel,
        cause=failed,
    )
    job = _with_rank(job, event.rank, after)
    if job.state is not JobState.CANCEL_REQUESTED and job.cause is None:
        job = replace(job, cause=failed)
    if not all(r.reached(RankState.EXITED) for r in job.ranks):
        return job
    if job.state is JobState.CANCEL_REQUESTED:
        if not all(r.before_cancel and r.exit_code is not None for r in job.ranks):
            return job
        job = replace(job, cause=_first_failure(job))  # every process had ended by itself: its result stands
    return replace(_enter(job, Phase.OUTPUTS, now), state=JobState.FINALIZING)


def _first_failure(job: Job) -> Cause | None:
    return next((r.cause for r in job.ranks if r.cause is not None), None)


def exit_cause(exit_code: int, rank: int, node_count: int) -> Cause:
    """The sentence for a process's own failure."""
    where = f" on node {rank}" if node_count > 1 else ""
    if exit_code > 128:
        return Cause("UserProcessKilled", f"The command was ended by signal {exit_code - 128}{where}.")
    return Cause("UserProcessFailed", f"The command ended with exit status {exit_code}{where}.")


def _collected(job: Job, rank: Rank, event: RankCollected, now: Millis) -> Job:
    if rank.reached(RankState.COLLECTED):
        return job
    job = _with_rank(job, event.rank, replace(rank, state=RankState.COLLECTED))
    if event.cause is not None and job.cause is None:
        job = replace(job, cause=event.cause)
    return _settled(job, now)


def _settled(job: Job, now: Millis) -> Job:
    """The end, once nothing more can come from any rank."""
    if not all(r.reached(RankState.COLLECTED) for r in job.ranks):
        return job
    if job.state is JobState.CANCEL_REQUESTED:
        return _end(job, JobState.CANCELED, job.cause or Cause("Canceled", "Canceled."), now)
    cause = job.cause or _first_failure(job)
    if cause is None and any(r.exit_code is None for r in job.ranks):
        cause = Cause("ExitUnknown", "A node settled without an exit record, so how the command ended is unknown.")
    return _end(job, JobState.COMPLETED if cause is None else JobState.FAILED, cause, now)


def _with_rank(job: Job, index: int, rank: Rank) -> Job:
    if job.ranks[index] == rank:
        return job
    return replace(job, ranks=(*job.ranks[:index], rank, *job.ranks[index + 1 :]))


def _enter(job: Job, phase: Phase, now: Millis) -> Job:
    """Close the open span and open the next. Silence goes on across phases until the node is heard."""
    if job.phase is phase:
        return job
    return replace(job, phases=_closed(job, now), phase=phase, phase_since=now)


def _closed(job: Job, now: Millis) -> dict[Phase, int]:
    """The phases with the open span added: its silent part, when there is one, to NOT_RESPONDING."""
    phases = dict(job.phases)
    for phase, span in open_spans(job, now):
        phases[phase] = phases.get(phase, 0) + span
    return phases


def _end(job: Job, state: JobState, cause: Cause | None, now: Millis) -> Job:
    job = _enter(job, Phase.RELEASE, now)
    return replace(job, state=state, cause=cause, ended_at=now, suspected_since=None)
