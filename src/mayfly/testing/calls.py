"""Calls of several clients at once, each with its begin and its end, held against one job after the other: whether there
is an order of them, which no call leaves its own time for, in which a single client would have got the same answers.

That is what Mayfly promises of a job's name: who is answered knows, and who asks later finds it so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import filterfalse

EARLY = ("Queued", "Provisioning", "Preparing")
ENDED = ("Completed", "Failed", "Canceled")
_ONWARDS = {
    "Queued": ("Provisioning",),
    "Provisioning": ("Preparing", "Running"),
    "Preparing": ("Running", "Failed"),
    "Running": ("Finalizing",),
    "Finalizing": ("Completed", "Failed"),
    "CancelRequested": ("Canceled", "Finalizing"),
    "Completed": (),
    "Failed": (),
    "Canceled": (),
}
"""What a job may become without anybody's call."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call about one name, and what it was answered."""

    client: int
    kind: str
    """put, get, cancel or retry."""
    begin: float
    end: float
    status: int
    """Of HTTP."""
    definition: str = ""
    """Of a put."""
    state: str = ""
    """Of the job, as a get was told."""

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.kind, self.definition)))
        return (
            f"{self.begin:8.4f} – {self.end:8.4f}  client {self.client}: {what} → {self.status} {self.state}".rstrip()
        )


@dataclass(frozen=True, slots=True)
class Model:
    """One job as one client alone would see it. `definition` is '' before there is one."""

    definition: str = ""
    state: str = ""


def _reaches() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for state in ("Completed", "Failed", "Canceled", "Finalizing", "Running", "Preparing", "Provisioning", "Queued"):
        found[state] = frozenset({state}).union(*(found[after] for after in _ONWARDS[state]))
    found["CancelRequested"] = frozenset({"CancelRequested"}) | found["Canceled"] | found["Finalizing"]
    return found


REACHES = _reaches()


def after(model: Model, call: Call) -> Iterable[Model]:
    """Every model that the call may leave behind with that answer; none where it cannot have been answered so."""
    if not model.definition:
        if call.kind == "put" and call.status == 201:
            yield Model(call.definition, "Queued")
        elif call.kind != "put" and call.status == 404:
            yield model
        return
    if call.kind == "put":
        if call.status == (200 if call.definition == model.definition else 409):
            yield model
        return
    for state in REACHES[model.state]:
        now = Model(model.definition, state)
        if call.kind == "get" and (call.status, call.state) == (200, state):
            yield now
        elif call.kind == "cancel" and call.status == 200:
            yield Model(model.definition, _canceled(state))
        elif call.kind == "retry" and call.status == (201 if state in ("Failed", "Canceled") else 409):
            yield now


def _canceled(state: str) -> str:
    if state in EARLY:
        return "Canceled"
    return "CancelRequested" if state == "Running" else state


def order(calls: Sequence[Call]) -> list[Call] | None:
    """An order of one name's calls that explains all of their answers; None when there is none."""
    left = tuple(sorted(calls, key=lambda call: call.begin))
    tried: set[tuple[int, Model]] = set()
    way: list[Call] = []

    def search(done: int, model: Model) -> bool:
        if done == (1 << len(left)) - 1:
            return True
        if (done, model) in tried:
            return False
        tried.add((done, model))
        waiting = [(index, call) for index, call in enumerate(left) if not done >> index & 1]
        first_end = min(call.end for _, call in waiting)
        for index, call in waiting:
            if call.begin > first_end:
                break  # it began after another had been answered, so it does not come before that one
            way.append(call)
            if any(search(done | 1 << index, following) for following in after(model, call)):
                return True
            way.pop()
        return False

    return way if search(0, Model()) else None


def _changes(call: Call) -> bool:
    return (call.kind, call.status) in (("put", 201), ("cancel", 200), ("retry", 201))


def story(name: str, calls: Sequence[Call]) -> str | None:
    """The calls of a name that no order explains, as few as can be; None when one does. What changed the job stays: without
    it nothing that came after has an order."""
    if order(calls) is not None:
        return None
    few = list(calls)
    for call in sorted(filterfalse(_changes, calls), key=lambda one: -one.end):
        without = [one for one in few if one is not call]
        if order(without) is None:
            few = without
    told = "\n".join(f"  {call}" for call in sorted(few, key=lambda one: one.begin))
    return f"No order explains what was answered about {name}:\n{told}"
