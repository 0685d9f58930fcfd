"""What a pipeline does next: pure, from its graph and how its children stand (semantics §12)."""

from __future__ import annotations

from collections.abc import Container, Mapping
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


class Progress:
    """How a pipeline stands. What a child changes costs what waits for it, not the whole graph; what was seen one by one comes
    to the same as when all is seen at once."""

    def __init__(self, graph: Graph, children: Mapping[str, Child] | None = None) -> None:
        self._graph = graph
        self._after: dict[str, list[str]] = {}
        for step, needs in graph.needs.items():
            for other in needs:
                self._after.setdefault(other, []).append(step)
        self._waits = {step: len(needs) for step, needs in graph.needs.items()}
        self._ready = dict.fromkeys(step for step, count in self._waits.items() if count == 0)
        self._children = dict(children or {})
        self._over: set[str] = set()
        self._failed: set[str] = set()
        self._going: dict[str, None] = {}
        self._skipped: set[str] = set()
        self._passed: set[str] = set()
        for step, child in self._children.items():
            self.see(step, child)

    def see(self, step: str, child: Child) -> None:
        """A step has begun, or is another than before. May be repeated."""
        self._children[step] = child
        self._ready.pop(step, None)
        if not child.state.terminal:
            self._going[step] = None
        elif step not in self._over:
            self._going.pop(step, None)
            if child.state is not JobState.COMPLETED:
                self._failed.add(step)
            self._spread(step)

    def after(self, step: str, done: Container[str]) -> list[str]:
        """Of what waits for a step, what could begin if all that is `done` were Completed, and could not yet."""
        return [
            later
            for later in self._after.get(step, ())
            if later not in self._children
            and later not in self._over
            and later not in self._ready
            and all(other in self._over or other in done for other in self._graph.needs[later])
        ]

    def _spread(self, first: str) -> None:
        """What an end means for what waits for it, and for what waits for that."""
        todo = [first]
        while todo:
            step = todo.pop()
            fresh = step not in self._over
            self._over.add(step)
            for later in self._after.get(step, ()):
                self._waits[later] -= fresh
                if later in self._children or later in self._skipped:
                    continue
                required = self._graph.needs[later][step]
                if required and (step in self._failed or step in self._skipped):
                    self._passed.discard(later)
                    self._skipped.add(later)
                elif later in self._passed:
                    continue
                elif self._against(later, step) or (required and step in self._passed):
                    self._passed.add(later)
                elif self._waits[later] == 0:
                    self._ready[later] = None
                    continue
                else:
                    continue
                self._ready.pop(later, None)
                todo.append(later)

    def _against(self, step: str, choice: str) -> bool:
        """Whether a choice has come to the other answer than the step needs."""
        wanted = self._graph.chosen.get(step, {}).get(choice)
        answer = self._children[choice].came_to if choice in self._children else None
        return wanted is not None and answer is not None and answer != wanted

    def standing(self, *, stopped: bool = False) -> Standing:
        """`stopped`: the pipeline has ended or is being cancelled, so that nothing new begins. A step begins when all that it
        waits for has ended or will never begin; one that cannot do without something that failed will never begin."""
        skipped, passed = self._skipped, self._passed
        if self._stopped(stopped):
            skipped, passed = {step for step in self._graph.needs if step not in self._children}, set()
        ready = () if self._stopped(stopped) else tuple(self._ready)
        failed = tuple(step for step in self._children if step in self._failed)
        return Standing(ready, frozenset(skipped), failed, tuple(self._going), frozenset(passed))

    def _stopped(self, stopped: bool) -> bool:
        return stopped or (bool(self._failed) and not self._graph.continues)

    def actions(self, *, cancelling: bool = False) -> tuple[Action, ...]:
        """What to do now; nothing while what goes on is all there is to wait for. May be asked again at any time."""
        stop = self._stopped(cancelling)
        if self._ready and not stop:
            return tuple(Start(step) for step in self._ready)
        if self._going:
            running = (step for step in self._going if self._children[step].state is not JobState.CANCEL_REQUESTED)
            return tuple(Cancel(step) for step in running) if stop else ()
        return (End(_cause(self.standing(stopped=cancelling), self._children)),)


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
