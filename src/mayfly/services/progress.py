"""How far each attempt's preparing is, in its node's words. Kept in memory on purpose: it is only for people who look now,
comes often, and the node says it again; after a restart of the server it is unknown until then."""

from __future__ import annotations

import threading

from mayfly.wire.agent import Fence, PhaseEntered

_Key = tuple[str, int, int]


class Progress:
    """Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Key, dict[int, tuple[str, str, str]]] = {}
        """Attempt → rank → (node, phase, detail)."""

    def began(self, node: str, report: PhaseEntered) -> None:
        """A report that the rows were told too."""
        with self._lock:
            ranks = self._known.setdefault(_key(report.fence), {})
            ranks[report.rank] = (node, report.phase, report.detail)

    def goes_on(self, node: str, report: PhaseEntered) -> bool:
        """Keep it if it is only news within a phase that the rows know; then they need not be told."""
        with self._lock:
            ranks = self._known.get(_key(report.fence), {})
            if ranks.get(report.rank, ("", "", ""))[:2] != (node, report.phase):
                return False
            ranks[report.rank] = (node, report.phase, report.detail)
            return True

    def over(self, fence: Fence, rank: int) -> None:
        with self._lock:
            ranks = self._known.get(_key(fence), {})
            ranks.pop(rank, None)
            if not ranks:
                self._known.pop(_key(fence), None)

    def of(self, job: str, attempt: int, epoch: int, phase: str) -> str:
        """What the first of its ranks that has something to say of this phase says; '' when none has."""
        with self._lock:
            ranks = dict(self._known.get((job, attempt, epoch), {}))
        said = [(rank, detail) for rank, (_, at, detail) in sorted(ranks.items()) if at == phase and detail]
        if not said:
            return ""
        rank, detail = said[0]
        return detail if len(ranks) == 1 else f"rank {rank}: {detail}"


def _key(fence: Fence) -> _Key:
    return fence.job, fence.attempt, fence.epoch
