"""When each node was last heard. Kept in memory on purpose: after a restart of the server every node has a full window
before it can be suspected (promise 5), and a heartbeat costs no write. Servers of one store tell each other (`tidings`)."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from mayfly.kit.clock import Millis


class Contacts:
    def __init__(self, since: Millis) -> None:
        self._since = since
        self._lock = threading.Lock()
        self._heard: dict[str, Millis] = {}
        self._extra: dict[str, frozenset[tuple[str, int, int]]] = {}
        self._requests = since
        self._news: set[str] = set()
        self.shared = False
        """Whether another server may want to know."""

    def hear(self, node: str, now: Millis) -> None:
        with self._lock:
            self._heard[node] = now
            if self.shared:
                self._news.add(node)

    def heard_elsewhere(self, nodes: Iterable[str], now: Millis) -> None:
        """Another server has heard them, a moment ago."""
        with self._lock:
            self._heard.update(dict.fromkeys(nodes, now))

    def news(self) -> list[str]:
        """The nodes that were heard here since the last call."""
        with self._lock:
            found, self._news = sorted(self._news), set()
            return found

    def last(self, node: str, created: Millis, now: Millis) -> Millis:
        """Never earlier than this server's start or the node's own. What was heard later than now was heard before the
        clock was set back: it counts as heard now."""
        with self._lock:
            self._since = min(self._since, now)
            if self._heard.get(node, now) > now:
                self._heard[node] = now
            return max(self._heard.get(node, Millis(0)), self._since, min(created, now))

    def forget(self, nodes: Iterable[str]) -> None:
        with self._lock:
            for node in nodes:
                self._heard.pop(node, None)
                self._extra.pop(node, None)

    def has(self, node: str, fences: Iterable[tuple[str, int, int]]) -> None:
        """What an agent has found on its disk: (job, attempt, epoch)."""
        with self._lock:
            self._extra[node] = frozenset(fences)

    def found_on(self, node: str) -> frozenset[tuple[str, int, int]]:
        with self._lock:
            return self._extra.get(node, frozenset())

    def dropped(self, node: str, fence: tuple[str, int, int]) -> None:
        with self._lock:
            self._extra[node] = self._extra.get(node, frozenset()) - {fence}

    def request(self, now: Millis) -> None:
        """A person's client called."""
        with self._lock:
            self._requests = now

    def last_request(self) -> Millis:
        with self._lock:
            return self._requests
