"""Wake-ups: hints that rows have changed. Whoever hears one reads the rows; whoever misses one polls, more slowly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable


class Listener:
    """Remembers that one of its topics was woken since it was last asked."""

    def __init__(self, notify: Callable[[], None], close: Callable[[Listener], None], topics: frozenset[str]) -> None:
        self.notify = notify
        self.topics = topics
        self._close = close

    def close(self) -> None:
        self._close(self)


class Wakeups:
    """Any thread may wake; threads and event loops may listen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, set[Listener]] = {}
        self.elsewhere: Callable[[Iterable[str]], None] = lambda _topics: None
        """Wakes those who listen at the other servers."""

    def wake(self, topics: Iterable[str]) -> None:
        self.elsewhere(topics)
        self.wake_here(topics)

    def wake_here(self, topics: Iterable[str]) -> None:
        with self._lock:
            heard = {listener for topic in topics for listener in self._listeners.get(topic, ())}
        for listener in heard:
            listener.notify()

    def wake_all_here(self) -> None:
        """Wake-ups may have been missed."""
        with self._lock:
            topics = list(self._listeners)
        self.wake_here(topics)

    def calling(self, notify: Callable[[], None], topics: Iterable[str]) -> Listener:
        """`notify` is called by whoever wakes: it must not wait."""
        return self._listen(notify, topics)

    def on_thread(self, topics: Iterable[str]) -> tuple[threading.Event, Listener]:
        event = threading.Event()
        return event, self._listen(event.set, topics)

    def on_loop(
        self, topics: Iterable[str], event: asyncio.Event | None = None, before: Callable[[], None] | None = None
    ) -> tuple[asyncio.Event, Listener]:
        """Call from the loop that will wait. `event`: one that is set by other listeners too. `before`: called on the thread
        that wakes, each time before the event is set."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event() if event is None else event

        def notify() -> None:
            if before is not None:
                before()
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                pass  # the loop has ended: nobody waits any more

        return event, self._listen(notify, topics)

    def heard_by(self, topic: str) -> int:
        """How many listen to it now."""
        with self._lock:
            return len(self._listeners.get(topic, ()))

    def _listen(self, notify: Callable[[], None], topics: Iterable[str]) -> Listener:
        listener = Listener(notify, self._forget, frozenset(topics))
        with self._lock:
            for topic in listener.topics:
                self._listeners.setdefault(topic, set()).add(listener)
        return listener

    def _forget(self, listener: Listener) -> None:
        with self._lock:
            for topic in listener.topics:
                rest = self._listeners.get(topic)
                if rest is not None:
                    rest.discard(listener)
                    if not rest:
                        del self._listeners[topic]
