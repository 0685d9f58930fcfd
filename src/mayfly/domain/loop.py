"""What a loop does next: pure, from its rounds and how they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mayfly.domain.job import Cause, JobState
from mayfly.domain.pipeline import Action, Cancel, Child, End, Start


@dataclass(frozen=True, slots=True)
class Rounds:
    """All known from the start (`parallel_for`)."""

    names: Sequence[str]
    at_once: int | None = None
    continues: bool = True


def next_of_all(rounds: Rounds, children: Mapping[str, Child], *, cancelling: bool = False) -> tuple[Action, ...]:
    """May be asked again at any time."""
    going = [name for name, child in children.items() if not child.state.terminal]
    failed = [name for name in rounds.names if name in children and _failed(children[name])]
    stopped = cancelling or (bool(failed) and not rounds.continues)
    if not stopped:
        room = len(rounds.names) if rounds.at_once is None else rounds.at_once - len(going)
        begin = [name for name in rounds.names if name not in children][: max(0, room)]
        if begin:
            return tuple(Start(name) for name in begin)
    if going:
        running = (name for name in going if children[name].state is not JobState.CANCEL_REQUESTED)
        return tuple(Cancel(name) for name in running) if stopped else ()
    if failed:
        others = f" {len(failed) - 1} more failed or were canceled." if len(failed) > 1 else ""
        return (End(_cause(failed[0], children[failed[0]], others)),)
    return (End(None),)


def next_in_turn(
    names: Sequence[str], children: Mapping[str, Child], again: bool, *, cancelling: bool = False
) -> tuple[Action, ...]:
    """One after the other (`do_while`). `again`: whether the last one, when Completed, wants another."""
    begun = [name for name in names if name in children]
    if not begun:
        return (End(None),) if cancelling else (Start(names[0]),)
    last = begun[-1]
    child = children[last]
    if not child.state.terminal:
        return (Cancel(last),) if cancelling and child.state is not JobState.CANCEL_REQUESTED else ()
    if _failed(child):
        return (End(_cause(last, child, "")),)
    if again and len(begun) < len(names) and not cancelling:
        return (Start(names[len(begun)]),)
    return (End(None),)


def _failed(child: Child) -> bool:
    return child.state.terminal and child.state is not JobState.COMPLETED


def _cause(name: str, child: Child, others: str) -> Cause:
    how = "was canceled" if child.state is JobState.CANCELED else "failed"
    why = f": {child.message}" if child.message else "."
    return Cause("StepFailed", f"The round '{name}' {how}{why}{others}")
