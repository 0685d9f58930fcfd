"""Laws of a pipeline's progress: what is seen child by child comes to the same as what is read at once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mayfly.domain.job import JobState
from mayfly.domain.pipeline import Cancel, Child, End, Graph, Progress, Standing, Start

ENDS = [Child(JobState.COMPLETED), Child(JobState.COMPLETED), Child(JobState.FAILED), Child(JobState.CANCELED)]
CAME_TO = [Child(JobState.COMPLETED, came_to=True), Child(JobState.COMPLETED, came_to=False)]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"s{number}" for number in range(draw(st.integers(1, 9)))]
    choices = set(draw(st.lists(st.sampled_from(names), max_size=2)))
    needs: dict[str, dict[str, bool]] = {}
    chosen: dict[str, dict[str, bool]] = {}
    for index, name in enumerate(names):
        needs[name] = draw(st.dictionaries(st.sampled_from(names[:index]), st.booleans())) if index else {}
        mine = [one for one in needs[name] if one in choices]
        chosen[name] = {one: draw(st.booleans()) for one in mine}
        needs[name] |= dict.fromkeys(mine, True)
    return Graph(needs, draw(st.booleans()), chosen)


def unordered(stands: Standing) -> Standing:
    """What can begin is told in the order in which it became so, which is another when all is read at once."""
    return replace(stands, ready=tuple(sorted(stands.ready)))


@settings(max_examples=150, deadline=None)
@given(graphs(), st.data())
def test_progress_child_by_child_is_progress_at_once(graph: Graph, data: st.DataObject) -> None:
    progress, children = Progress(graph), dict[str, Child]()
    choices = {choice for chosen in graph.chosen.values() for choice in chosen}

    def see(step: str, child: Child) -> None:
        children[step] = child
        progress.see(step, child)
        assert unordered(progress.standing()) == unordered(Progress(graph, children).standing())

    for _ in range(60):
        actions = progress.actions()
        assert sorted(map(repr, actions)) == sorted(map(repr, Progress(graph, children).actions()))
        if any(isinstance(one, End) for one in actions):
            break
        for action in actions:
            match action:
                case Start(step):
                    see(step, Child(JobState.RUNNING))
                case Cancel(step):
                    see(step, Child(JobState.CANCELED))
        going = [step for step, child in children.items() if not child.state.terminal]
        if going:
            step = data.draw(st.sampled_from(going))
            see(step, data.draw(st.sampled_from(CAME_TO if step in choices else ENDS)))
    stands = progress.standing()
    assert not stands.going and not stands.ready
    assert set(graph.needs) == {*children, *stands.skipped, *stands.passed_by}
    for step, needs in graph.needs.items():
        if step in children:
            assert all(other in children or not required for other, required in needs.items())
