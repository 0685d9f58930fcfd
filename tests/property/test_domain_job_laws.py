"""Laws of a job's life: house §3, promises 2, 3, 7 and 8."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayfly.domain.job import Cause, Job, JobState, Phase, RankState
from mayfly.domain.life import (
    AttemptLost,
    CancelAsked,
    Heard,
    JobEvent,
    PhaseEntered,
    PreparationFailed,
    RankCollected,
    RankExited,
    RankReady,
    RankReleased,
    RankStarted,
    Rejected,
    Reserved,
    Suspected,
    Waiting,
    step,
)
from mayfly.domain.phases import spans
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId

LAWS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CAUSES = st.sampled_from([Cause("Canceled", "Canceled."), Cause("NodeLost", "A node was lost.")])
ATTEMPTS = st.integers(0, 3)
RANKS = st.integers(0, 2)
EVENTS: st.SearchStrategy[JobEvent] = st.one_of(
    st.builds(Waiting, st.sampled_from([Phase.QUOTA, Phase.CAPACITY])),
    st.builds(Reserved, ATTEMPTS),
    st.builds(Rejected, CAUSES),
    st.builds(PhaseEntered, ATTEMPTS, RANKS, st.sampled_from(list(Phase))),
    st.builds(RankReady, ATTEMPTS, RANKS),
    st.builds(RankStarted, ATTEMPTS, RANKS),
    st.builds(RankExited, ATTEMPTS, RANKS, st.sampled_from([0, 0, 1, 137]), st.booleans()),
    st.builds(PreparationFailed, ATTEMPTS, RANKS, CAUSES),
    st.builds(RankCollected, ATTEMPTS, RANKS, st.none() | CAUSES),
    st.builds(RankReleased, ATTEMPTS, RANKS),
    st.builds(CancelAsked, CAUSES, st.booleans()),
    st.builds(Suspected, ATTEMPTS),
    st.builds(Heard, ATTEMPTS),
    st.builds(AttemptLost, ATTEMPTS, CAUSES, st.booleans()),
)


def new(nodes: int = 1, retries: int = 0) -> Job:
    return Job(JobId("job"), nodes, Millis(1000), Millis(1000), retries_left=retries)


@st.composite
def reached(draw: st.DrawFn) -> tuple[Job, int]:
    """A job somewhere in a life made of any events, and the moment it is there. Mostly events that matter."""
    job, now = new(draw(st.integers(1, 2)), draw(st.integers(0, 1))), 1000
    for _ in range(draw(st.integers(0, 25))):
        event = draw(EVENTS)
        if not isinstance(event, Waiting | Rejected | CancelAsked | Reserved) and draw(st.booleans()):
            event = replace(event, attempt=job.attempt)
        if isinstance(event, Reserved) and draw(st.booleans()):
            event = Reserved(job.attempt + 1)
        now += draw(st.integers(-3, 40))
        job = step(job, event, Millis(now))
    return job, now


@LAWS
@given(reached(), EVENTS)
def test_a_terminal_state_is_never_left(life: tuple[Job, int], event: JobEvent) -> None:
    job, now = life
    if job.state.terminal:
        after = step(job, event, Millis(now + 1))
        assert replace(after, ranks=job.ranks) == job, "at most ranks are released"


@LAWS
@given(reached(), EVENTS)
def test_a_stale_attempt_changes_nothing(life: tuple[Job, int], event: JobEvent) -> None:
    job, now = life
    attempt = getattr(event, "attempt", None)
    if attempt is not None and not isinstance(event, Reserved) and attempt != job.attempt:
        assert step(job, event, Millis(now)) is job
    if isinstance(event, Reserved) and attempt != job.attempt + 1:
        assert step(job, event, Millis(now)) is job


@LAWS
@given(reached(), EVENTS)
def test_a_doubled_event_changes_nothing_the_second_time(life: tuple[Job, int], event: JobEvent) -> None:
    job, now = life
    once = step(job, event, Millis(now))
    assert step(once, event, Millis(now + 5)) is once


@LAWS
@given(reached(), st.integers(0, 100))
def test_phases_account_for_every_millisecond(life: tuple[Job, int], later: int) -> None:
    job, now = life
    until = max(now, job.phase_since, job.suspected_since or 0) + later
    whole = (job.ended_at if job.ended_at is not None else until) - job.created_at
    found = spans(job, Millis(until))
    assert sum(span for _, span, _ in found) == whole
    assert all(span >= 0 for _, span, _ in found)
    assert any(going for _, _, going in found) is not job.state.terminal


@LAWS
@given(reached())
def test_an_end_is_truthful(life: tuple[Job, int]) -> None:
    job, _ = life
    assert job.state.terminal == (job.ended_at is not None)
    if job.state in (JobState.FAILED, JobState.CANCELED):
        assert job.cause is not None
    if job.state is JobState.COMPLETED:
        assert job.cause is None and all(rank.exit_code == 0 for rank in job.ranks)


@LAWS
@given(reached(), EVENTS)
def test_a_gang_runs_only_when_every_rank_is_ready(life: tuple[Job, int], event: JobEvent) -> None:
    job, now = life
    after = step(job, event, Millis(now))
    if after.state is JobState.RUNNING and job.state is not JobState.RUNNING:
        assert len(after.ranks) == after.node_count
        assert all(r.reached(RankState.READY) and r.state is not RankState.RELEASED for r in after.ranks)


@LAWS
@given(reached(), EVENTS)
def test_preparation_that_fails_ends_the_job(life: tuple[Job, int], event: JobEvent) -> None:
    job, now = life
    if isinstance(event, PreparationFailed) and event.attempt == job.attempt and event.rank < len(job.ranks):
        after = step(job, event, Millis(now))
        assert after.state.terminal or job.ranks[event.rank].reached(RankState.STARTED)


# --- histories as agents really write them ----------------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    nodes: int
    events: tuple[JobEvent, ...]
    codes: tuple[int, ...]
    cancel_at: int | None
    """Index in `events` where the cancel stands."""


@st.composite
def histories(draw: st.DrawFn, cancels: bool) -> History:
    """Ranks interleaved at will, each in its own order; the granted start is waited for, as agents do."""
    nodes = draw(st.integers(1, 3))
    codes = tuple(draw(st.sampled_from([0, 0, 0, 1, 137])) for _ in range(nodes))
    before = [
        [PhaseEntered(1, r, phase) for phase in (Phase.ENVIRONMENT, Phase.INPUTS, Phase.START)] + [RankReady(1, r)]
        for r in range(nodes)
    ]
    after = [[RankStarted(1, r), RankExited(1, r, codes[r]), RankCollected(1, r)] for r in range(nodes)]
    head: list[JobEvent] = [Waiting(Phase.CAPACITY), Reserved(1)]
    start: list[JobEvent] = _interleaved(draw, before)
    end: list[JobEvent] = _interleaved(draw, after)
    cancel_at = None
    if cancels:
        at = draw(st.integers(0, len(end)))
        received = {r: draw(st.integers(at, len(end))) for r in range(nodes)}
        end = [
            replace(e, before_cancel=index < received[e.rank]) if isinstance(e, RankExited) else e
            for index, e in enumerate(end)
        ]
        end.insert(at, CancelAsked(Cause("Canceled", "Canceled by ann.")))
        cancel_at = len(head) + len(start) + at
    released: list[JobEvent] = [RankReleased(1, r) for r in range(nodes)]
    return History(nodes, (*head, *start, *end, *released), codes, cancel_at)


def _interleaved(draw: st.DrawFn, lanes: list[list[JobEvent]]) -> list[JobEvent]:
    left, found = [list(lane) for lane in lanes], []
    while any(left):
        lane = draw(st.sampled_from([lane for lane in left if lane]))
        found.append(lane.pop(0))
    return found


def lived(history: History, events: tuple[JobEvent, ...] | None = None) -> Job:
    job = new(history.nodes)
    for event in events or history.events:
        job = step(job, event, Millis(1000))
    return job


@LAWS
@given(histories(cancels=False))
def test_a_process_decides_its_job(history: History) -> None:
    job = lived(history)
    assert job.state is (JobState.FAILED if any(history.codes) else JobState.COMPLETED)
    assert not job.live


@LAWS
@given(histories(cancels=True), st.data())
def test_late_repeats_of_a_legal_history_end_the_same(history: History, data: st.DataObject) -> None:
    events = list(history.events)
    for _ in range(data.draw(st.integers(1, 8))):
        first = data.draw(st.integers(0, len(events) - 1))
        events.insert(data.draw(st.integers(first + 1, len(events))), events[first])
    assert lived(history, tuple(events)) == lived(history)


@LAWS
@given(histories(cancels=True))
def test_a_cancel_weighs_the_exit_records(history: History) -> None:
    job = lived(history)
    exits = [e for e in history.events if isinstance(e, RankExited)]
    if all(e.before_cancel for e in exits):
        assert job.state is (JobState.FAILED if any(history.codes) else JobState.COMPLETED)
    else:
        assert job.state is JobState.CANCELED and job.cause == Cause("Canceled", "Canceled by ann.")


@LAWS
@given(histories(cancels=False), st.data())
def test_canceled_before_the_start_prevents_the_process(history: History, data: st.DataObject) -> None:
    last_ready = max(i for i, e in enumerate(history.events) if isinstance(e, RankReady))
    at = data.draw(st.integers(0, last_ready))
    job = new(history.nodes)
    for event in (*history.events[:at], CancelAsked(Cause("Canceled", "Stop.")), *history.events[at:]):
        job = step(job, event, Millis(1000))
        assert not job.may_start
    assert job.state is JobState.CANCELED


@LAWS
@given(histories(cancels=False), st.data())
def test_canceled_once_committed_is_not_revised(history: History, data: st.DataObject) -> None:
    first_exit = min(i for i, e in enumerate(history.events) if isinstance(e, RankExited))
    at = data.draw(st.integers(0, first_exit))
    stop = CancelAsked(Cause("Canceled", "Stop."), unreachable=True)
    assert lived(history, (*history.events[:at], stop, *history.events[at:])).state is JobState.CANCELED
