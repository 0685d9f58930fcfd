"""Cases of the job's life that were once, or could easily be, wrong."""

from mayfly.domain.job import Cause, Job, JobState, Phase
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

STOP = Cause("Canceled", "Canceled by ann.")
LOST = Cause("NodeLost", "Node 1 was lost.")


def new(nodes: int = 1, retries: int = 0) -> Job:
    return Job(JobId("job"), nodes, Millis(0), Millis(0), retries_left=retries)


def after(job: Job, *events: JobEvent, at: int = 10) -> Job:
    for event in events:
        job = step(job, event, Millis(at))
    return job


def running(nodes: int = 1, retries: int = 0) -> Job:
    ready = [RankReady(1, rank) for rank in range(nodes)]
    job = after(new(nodes, retries), Reserved(1), *ready)
    assert job.state is JobState.RUNNING
    return after(job, *[RankStarted(1, rank) for rank in range(nodes)])


def test_the_plain_way() -> None:
    job = after(running(), RankExited(1, 0, 0), RankCollected(1, 0))
    assert job.state is JobState.COMPLETED and job.cause is None
    assert after(job, RankReleased(1, 0)).live is False


def test_a_gang_starts_only_when_all_are_ready() -> None:
    job = after(new(2), Reserved(1), RankReady(1, 0))
    assert job.state is JobState.PROVISIONING and job.phase is Phase.PROVISION
    job = after(job, PhaseEntered(1, 1, Phase.ENVIRONMENT))
    assert job.state is JobState.PREPARING and not job.may_start
    assert after(job, RankReady(1, 1)).may_start


def test_a_gang_never_starts_with_a_node_that_is_gone() -> None:
    job = after(new(2), Reserved(1), RankReleased(1, 0), RankReady(1, 1))
    assert not job.may_start


def test_a_late_repeat_of_a_phase_does_not_move_back() -> None:
    job = after(new(), Reserved(1), PhaseEntered(1, 0, Phase.ENVIRONMENT), PhaseEntered(1, 0, Phase.INPUTS))
    assert step(job, PhaseEntered(1, 0, Phase.ENVIRONMENT), Millis(20)) is job
    assert step(job, PhaseEntered(1, 0, Phase.OUTPUTS), Millis(20)) is job


def test_the_first_failure_of_a_gang_is_its_cause() -> None:
    job = after(running(2), RankExited(1, 1, 3), RankExited(1, 0, 143), RankCollected(1, 0), RankCollected(1, 1))
    assert job.state is JobState.FAILED and job.cause is not None
    assert job.cause.code == "UserProcessFailed" and "node 1" in job.cause.message


def test_cancel_before_the_start_ends_at_once() -> None:
    for job in (new(), after(new(), Reserved(1)), after(new(2), Reserved(1), RankReady(1, 0))):
        ended = after(job, CancelAsked(STOP))
        assert ended.state is JobState.CANCELED and not ended.may_start


def test_an_exit_older_than_the_cancel_stands() -> None:
    job = after(running(), CancelAsked(STOP), RankExited(1, 0, 0, before_cancel=True), RankCollected(1, 0))
    assert job.state is JobState.COMPLETED and job.cause is None
    job = after(running(), CancelAsked(STOP), RankExited(1, 0, 2, before_cancel=True), RankCollected(1, 0))
    assert job.state is JobState.FAILED and job.cause is not None and job.cause.code == "UserProcessFailed"


def test_every_rank_of_a_gang_must_have_ended_before_the_cancel() -> None:
    killed = RankExited(1, 0, 143, before_cancel=False)
    done = RankExited(1, 1, 0, before_cancel=True)
    for first, second in ((killed, done), (done, killed)):
        job = after(running(2), CancelAsked(STOP), first, second, RankCollected(1, 0), RankCollected(1, 1))
        assert job.state is JobState.CANCELED and job.cause == STOP


def test_a_failure_known_before_the_cancel_is_still_the_truth() -> None:
    job = after(running(2), RankExited(1, 0, 7), CancelAsked(STOP), RankExited(1, 1, 0))
    job = after(job, RankCollected(1, 0), RankCollected(1, 1))
    assert job.state is JobState.FAILED and job.cause is not None and "status 7" in job.cause.message


def test_canceled_once_committed_stands() -> None:
    job = after(running(), CancelAsked(STOP, unreachable=True))
    assert job.state is JobState.CANCELED
    assert after(job, RankExited(1, 0, 0), RankCollected(1, 0)).state is JobState.CANCELED


def test_an_unreachable_cancel_keeps_the_first_reason() -> None:
    second = Cause("Canceled", "Canceled by bob.")
    job = after(running(), CancelAsked(STOP), CancelAsked(second, unreachable=True))
    assert job.state is JobState.CANCELED and job.cause == STOP


def test_a_cancel_is_over_when_every_node_is_gone() -> None:
    job = after(running(2), CancelAsked(STOP), RankReleased(1, 0))
    assert job.state is JobState.CANCEL_REQUESTED
    assert after(job, RankReleased(1, 1)).state is JobState.CANCELED


def test_a_node_that_goes_before_its_outputs_came_is_no_success() -> None:
    job = after(running(2), RankExited(1, 0, 0), RankExited(1, 1, 0), RankReleased(1, 1), RankCollected(1, 0))
    assert job.state is JobState.FAILED and job.cause is not None and job.cause.code == "NodeLost"


def test_an_end_without_an_exit_record_is_never_silent() -> None:
    job = after(running(2), RankCollected(1, 0), RankExited(1, 1, 0), RankCollected(1, 1))
    assert job.state is JobState.FAILED and job.cause is not None and job.cause.code == "ExitUnknown"


def test_lost_with_a_retry_goes_back_to_the_queue_once() -> None:
    job = after(running(retries=1), AttemptLost(1, LOST, retry=True))
    assert job.state is JobState.QUEUED and job.phase is Phase.RETRY_WAIT and job.retries_left == 0
    assert after(job, AttemptLost(1, LOST, retry=True)) is job
    job = after(job, Reserved(2), RankExited(1, 0, 0))
    assert job.state is JobState.PROVISIONING and job.attempt == 2
    assert after(job, AttemptLost(2, LOST, retry=True)).state is JobState.FAILED


def test_a_retry_is_never_used_for_the_users_own_failure() -> None:
    job = after(running(2, retries=1), RankExited(1, 0, 1), AttemptLost(1, LOST, retry=True))
    assert job.state is JobState.FAILED and job.cause is not None and job.cause.code == "UserProcessFailed"


def test_preparation_that_fails_in_one_rank_ends_the_job() -> None:
    cause = Cause("EnvironmentBuildFailed", "No such package.")
    job = after(new(2), Reserved(1), RankReady(1, 0), PreparationFailed(1, 1, cause))
    assert job.state is JobState.FAILED and job.cause == cause
    assert after(job, RankReady(1, 1)).state is JobState.FAILED
    assert after(running(), Rejected(cause)).state is JobState.RUNNING
    assert after(new(), Rejected(cause)).state is JobState.FAILED


def test_silence_is_counted_apart_and_goes_on_over_a_phase() -> None:
    job = after(running(), Suspected(1), at=100)
    assert job.suspected_since == 100
    job = after(job, CancelAsked(STOP), at=150)
    assert job.suspected_since == 100, "nobody has heard the node yet"
    job = after(job, Heard(1), at=180)
    found = {phase: span for phase, span, _ in spans(job, Millis(200))}
    assert found[Phase.NOT_RESPONDING] == 80 and found[Phase.RUN] == 90 and found[Phase.CANCELLING] == 20
    assert sum(found.values()) == 200


def test_a_clock_that_was_set_back_makes_no_negative_span() -> None:
    job = after(new(), Waiting(Phase.QUOTA), at=100)
    job = after(job, Waiting(Phase.CAPACITY), at=40)
    job = after(job, CancelAsked(STOP), at=50)
    assert job.ended_at == 100 and sum(job.phases.values()) == 100
