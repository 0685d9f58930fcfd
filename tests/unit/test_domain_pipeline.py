"""What a pipeline does next, case by case."""

from __future__ import annotations

import pytest

from mayfly.domain.job import Cause, Job, JobState
from mayfly.domain.life import Begun, CancelAsked, ChildrenEnded, Reserved, step
from mayfly.domain.pipeline import Action, Cancel, Child, End, Graph, Progress, Start
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId

DIAMOND = {"a": {}, "b": {"a": True}, "c": {"a": False}, "d": {"b": True, "c": True}}
DONE, RUNS = Child(JobState.COMPLETED), Child(JobState.RUNNING)
FAILED, ASKED = Child(JobState.FAILED, "It broke."), Child(JobState.CANCEL_REQUESTED)


@pytest.mark.parametrize(
    ("children", "continues", "expected"),
    [
        ({}, True, [Start("a")]),
        ({"a": RUNS}, True, []),
        ({"a": DONE}, True, [Start("b"), Start("c")]),
        ({"a": DONE, "b": RUNS}, True, [Start("c")]),
        ({"a": DONE, "b": DONE, "c": RUNS}, True, []),
        ({"a": DONE, "b": DONE, "c": DONE}, True, [Start("d")]),
        # an optional edge: c runs without what a would have made; b and so d never will
        ({"a": FAILED}, True, [Start("c")]),
        ({"a": FAILED, "c": RUNS}, True, []),
        # nothing new begins, and what runs is ended
        ({"a": FAILED}, False, [End(Cause("StepFailed", "The step 'a' failed: It broke. Not run: b, c, d."))]),
        ({"a": DONE, "b": FAILED, "c": RUNS}, False, [Cancel("c")]),
        ({"a": DONE, "b": FAILED, "c": ASKED}, False, []),
        ({"a": DONE, "b": DONE, "c": DONE, "d": DONE}, True, [End(None)]),
        (
            {"a": DONE, "b": FAILED, "c": DONE},
            True,
            [End(Cause("StepFailed", "The step 'b' failed: It broke. Not run: d."))],
        ),
    ],
)
def test_next(children: dict[str, Child], continues: bool, expected: list[Action]) -> None:
    assert list(Progress(Graph(DIAMOND, continues), children).actions()) == expected


def test_a_pipeline_being_canceled_begins_nothing_and_ends_when_all_has_ended() -> None:
    assert Progress(Graph(DIAMOND), {"a": RUNS}).actions(cancelling=True) == (Cancel("a"),)
    assert Progress(Graph(DIAMOND), {"a": DONE}).actions(cancelling=True) == (End(None),)


def test_its_life_has_no_node() -> None:
    job = Job(JobId("p"), 0, Millis(0), Millis(0))
    assert step(job, Reserved(1), Millis(1)) is job
    running = step(job, Begun(), Millis(1))
    assert (running.state, step(running, Begun(), Millis(2))) == (JobState.RUNNING, running)
    asked = step(running, CancelAsked(Cause("Canceled", "x")), Millis(2))
    assert asked.state is JobState.CANCEL_REQUESTED
    assert step(asked, ChildrenEnded(), Millis(3)).state is JobState.CANCELED
    assert step(running, ChildrenEnded(), Millis(3)).state is JobState.COMPLETED
    failed = step(running, ChildrenEnded(Cause("StepFailed", "x")), Millis(3))
    assert (failed.state, step(failed, CancelAsked(Cause("Canceled", "x")), Millis(4))) == (JobState.FAILED, failed)
