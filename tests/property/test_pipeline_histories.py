"""Laws of pipelines and loops: played to their end by a controller that dies between any two of its actions, and looks
again; its children end as they like, and somebody may cancel."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayfly.domain.job import JobState
from mayfly.domain.loop import Rounds, next_of_all
from mayfly.domain.pipeline import Action, Cancel, Child, End, Graph, Progress, Start

LAWS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CHANCE = st.randoms(use_true_random=False)
DONE, FAILED, CANCELED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELED


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    steps = [f"s{number}" for number in range(draw(st.integers(1, 6)))]
    needs = {
        step: {other: draw(st.booleans()) for other in steps[:index] if draw(st.booleans())}
        for index, step in enumerate(steps)
    }
    return Graph(needs, draw(st.booleans()))


@dataclass
class Played:
    children: dict[str, Child] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    over: dict[str, JobState] = field(default_factory=dict)
    end: End | None = None
    cancelling: bool = False


def play(chance: Random, asked) -> Played:
    """`asked(children, cancelling)` are the rules. Of what they say, only the first few are done before the controller
    dies; children go on between any two looks."""
    played = Played()
    for number in range(60):
        fair = number > 25
        played.cancelling = played.cancelling or chance.random() < 0.06
        actions: tuple[Action, ...] = asked(played.children, played.cancelling)
        for action in actions[: None if fair else chance.randint(0, len(actions))]:
            match action:
                case Start(step):
                    assert step not in played.children, "nothing is begun twice"
                    played.begun.append(step)
                    played.children[step] = Child(JobState.RUNNING)
                case Cancel(step):
                    assert not played.children[step].state.terminal
                    played.children[step] = Child(JobState.CANCEL_REQUESTED)
                case End():
                    played.end = action
                    return played
        going = [step for step, child in played.children.items() if not child.state.terminal]
        for step in going:
            if fair or chance.random() < 0.5:
                asked_to_end = played.children[step].state is JobState.CANCEL_REQUESTED
                state = CANCELED if asked_to_end else chance.choice([DONE, DONE, DONE, FAILED])
                played.children[step] = Child(state, "" if state is DONE else "It broke.")
                played.over[step] = state
    raise AssertionError("it never ended")


@LAWS
@given(graphs(), CHANCE)
def test_a_pipeline_comes_to_its_end_whoever_dies(graph: Graph, chance: Random) -> None:
    played = play(chance, lambda children, cancelling: Progress(graph, children).actions(cancelling=cancelling))
    assert played.end is not None and all(child.state.terminal for child in played.children.values())
    place = {step: index for index, step in enumerate(played.begun)}
    for step in played.begun:
        for other, required in graph.needs[step].items():
            assert not required or played.over[other] is DONE, "it could not do without what failed"
            assert other not in place or place[other] < place[step]
    failed = [step for step, state in played.over.items() if state is not DONE]
    assert (played.end.cause is not None) is bool(failed)
    if not failed and not played.cancelling:
        assert set(played.begun) == set(graph.needs), "all of it is done"
    if graph.continues and not played.cancelling:
        lost = set(failed)
        for step in graph.needs:
            if any(required and other in lost for other, required in graph.needs[step].items()):
                lost.add(step)
        assert set(played.begun) | lost == set(graph.needs), "what can be done is done"


@LAWS
@given(st.integers(0, 6), st.one_of(st.none(), st.integers(1, 3)), st.booleans(), CHANCE)
def test_rounds_are_each_begun_once_and_no_more_than_asked_at_a_time(
    count: int, at_once: int | None, continues: bool, chance: Random
) -> None:
    rounds = Rounds([f"r{number}" for number in range(count)], at_once, continues)

    def asked(children, cancelling):
        going = [child for child in children.values() if not child.state.terminal]
        assert at_once is None or len(going) <= at_once
        return next_of_all(rounds, children, cancelling=cancelling)

    played = play(chance, asked)
    assert played.end is not None
    failed = [state for state in played.over.values() if state is not DONE]
    assert (played.end.cause is not None) is bool(failed)
    if not played.cancelling and (continues or not failed):
        assert len(played.begun) == count
