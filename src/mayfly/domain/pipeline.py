"""What a pipeline does next: pure, from its graph and how its children stand (semantics §12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mayfly.domain.job import Cause, JobState


@dataclass(frozen=True, slots=True)
class Graph:
    needs: Mapping[str, Mapping[str, bool]]
    """Step → what it waits for → whether it cannot run without it. Without circles."""
    continues: bool = True
    """Whether independent steps go on when one has failed."""
    chosen: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """Step → choices that it waits for → what each must have come to for it to run."""


@dataclass(frozen=True, slots=True)
class Child:
    """A step that has begun, as a job."""

    state: JobState
    message: str = ""
    """Why it ended, where it is not Completed."""
    came_to: bool | None = None
    """Of a choice that is Completed: what its condition was."""


@dataclass(frozen=True, slots=True)
class Start:
    step: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """It runs on, and nothing waits for it any more."""

    step: str


@dataclass(frozen=True, slots=True)
class End:
    cause: Cause | None
    """None: all of it is done."""


Action = Start | Cancel | End


@dataclass(frozen=True, slots=True)
class Standing:
    """Steps by what can become of them."""

    ready: tuple[str, ...] = ()
    skipped: frozenset[str] = frozenset()
    """Never to run: something they cannot do without has failed, or the pipeline has stopped."""
    failed: tuple[str, ...] = ()
    going: tuple[str, ...] = field(default=())
    passed_by: frozenset[str] = frozenset()
    """Never to run, and no failure: a choice was against it, or against what it cannot do without."""


def standing(graph: Graph, children: Mapping[str, Child], *, stopped: bool = False) -> Standing:
    """`stopped`: the pipeline has ended or is being cancelled, so that nothing new begins. A step begins when all that it
    waits for has ended or will never begin; one that cannot do without something that failed will never begin."""
    failed = tuple(
        step for step, child in children.items() if child.state.terminal and child.state is not JobState.COMPLETED
    )
    going = tuple(step for step, child in children.items() if not child.state.terminal)
    stopped = stopped or (bool(failed) and not graph.continues)
    skipped: set[str] = set()
    passed: set[str] = set()
    over = {step for step, child in children.items() if child.state.terminal}
    lost = set(failed)
    ready: list[str] = []
    for step in _in_order(graph):
        if step in children:
            continue
        needs = graph.needs[step]
        if stopped or any(required and other in lost for other, required in needs.items()):
            skipped.add(step)
            lost.add(step)
            over.add(step)
        elif _against(graph.chosen.get(step, {}), children) or any(
            required and other in passed for other, required in needs.items()
        ):
            passed.add(step)
            over.add(step)
        elif all(other in over for other in needs):
            ready.append(step)
    return Standing(tuple(ready), frozenset(skipped), failed, going, frozenset(passed))


def _against(choices: Mapping[str, bool], children: Mapping[str, Child]) -> bool:
    """Whether one of the choices has come to the other answer."""
    came = {choice: children[choice].came_to for choice in choices if choice in children}
    return any(answer is not None and answer != choices[choice] for choice, answer in came.items())


def next_actions(graph: Graph, children: Mapping[str, Child], *, cancelling: bool = False) -> tuple[Action, ...]:
    """What to do now; nothing while what goes on is all there is to wait for. May be asked again at any time: what was
    begun meanwhile is among the children."""
    now = standing(graph, children, stopped=cancelling)
    if now.ready:
        return tuple(Start(step) for step in now.ready)
    if now.going:
        stop = cancelling or (bool(now.failed) and not graph.continues)
        running = (step for step in now.going if children[step].state is not JobState.CANCEL_REQUESTED)
        return tuple(Cancel(step) for step in running) if stop else ()
    return (End(_cause(now, children)),)


def _cause(now: Standing, children: Mapping[str, Child]) -> Cause | None:
    if not now.failed:
        return None
    first = now.failed[0]
    child = children[first]
    how = "was canceled" if child.state is JobState.CANCELED else "failed"
    others = [step for step in now.failed if step != first]
    also = (
        f" Failed or canceled too: {', '.join(others[:5])}{' and more' if len(others) > 5 else ''}." if others else ""
    )
    left = f" Not run: {_some(sorted(now.skipped))}." if now.skipped else ""
    why = f": {child.message}" if child.message else "."
    return Cause("StepFailed", f"The step '{first}' {how}{why}{also}{left}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _in_order(graph: Graph) -> list[str]:
    """Every step after all that it waits for."""
    waits = {step: len(needs) for step, needs in graph.needs.items()}
    after: dict[str, list[str]] = {}
    for step, needs in graph.needs.items():
        for other in needs:
            after.setdefault(other, []).append(step)
    order = [step for step, count in waits.items() if count == 0]
    for step in order:
        for later in after.get(step, ()):
            waits[later] -= 1
            if waits[later] == 0:
                order.append(later)
    return order
