"""How far each attempt's preparing is, in its node's words. Kept in memory on purpose: it is only for people who look now,
comes often, and the node says it again; after a restart of the server it is unknown until then."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from mayfly.wire.agent import Fence, PhaseEntered

_Key = tuple[str, int, int]
News = tuple[str, int, int, int, str, str, str]
"""Job, attempt, epoch, rank; node, phase ('': it is over) and detail."""


class Progress:
    """Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Key, dict[int, tuple[str, str, str]]] = {}
        """Attempt → rank → (node, phase, detail)."""
        self._news: dict[tuple[_Key, int], tuple[str, str, str]] = {}
        self.shared = False
        """Whether another server may want to know."""

    def began(self, node: str, report: PhaseEntered) -> None:
        """A report that the rows were told too."""
        with self._lock:
            self._keep(_key(report.fence), report.rank, (node, report.phase, report.detail))

    def goes_on(self, node: str, report: PhaseEntered) -> bool:
        """Keep it if it is only news within a phase that the rows know; then they need not be told."""
        with self._lock:
            ranks = self._known.get(_key(report.fence), {})
            if ranks.get(report.rank, ("", "", ""))[:2] != (node, report.phase):
                return False
            self._keep(_key(report.fence), report.rank, (node, report.phase, report.detail))
            return True

    def over(self, fence: Fence, rank: int) -> None:
        with self._lock:
            if rank in self._known.get(_key(fence), {}):
                self._keep(_key(fence), rank, ("", "", ""))

    def news(self) -> list[News]:
        """What nodes have said here since the last call."""
        with self._lock:
            found, self._news = self._news, {}
            return [(*key, rank, *said) for (key, rank), said in found.items()]

    def said_elsewhere(self, news: Iterable[News]) -> None:
        """Nodes have said it to another server."""
        with self._lock:
            for job, attempt, epoch, rank, *said in news:
                self._put((job, attempt, epoch), rank, (said[0], said[1], said[2]))

    def _keep(self, key: _Key, rank: int, said: tuple[str, str, str]) -> None:
        self._put(key, rank, said)
        if self.shared:
            self._news[key, rank] = said

    def _put(self, key: _Key, rank: int, said: tuple[str, str, str]) -> None:
        ranks = self._known.setdefault(key, {})
        if said[1]:
            ranks[rank] = said
        else:
            ranks.pop(rank, None)
        if not ranks:
            del self._known[key]

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
