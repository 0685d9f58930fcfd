"""Facts on their way to the server: in order, again and again until acknowledged."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from mayfly.kit.errors import Broken
from mayfly.node.server import Server, Stopped, persistently
from mayfly.wire.agent import AnyReport, Exited, PhaseEntered, Sample, Started, Wishes

_BATCH = 100
_COMPANY_S, _LONGEST_S = 0.1, 0.3
"""How long a report that can wait waits for the next, and for all of them: what a short job does all at once is told in one call."""
_PATIENT = (PhaseEntered, Started, Exited, Sample)
"""Reports that nobody waits for at the other end; another one soon follows."""


class Reporter:
    """One thread. A fact must be on the disk before `send`; a restarted agent sends all facts of an attempt again."""

    def __init__(self, server: Server, answered: Callable[[Wishes], None]) -> None:
        self._server, self._answered = server, answered
        self._queue: deque[tuple[AnyReport, threading.Event]] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._last = 0.0
        """When the newest came."""
        self._hurried = False
        """Whether somebody waits for what is queued; the agent ends then."""
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, report: AnyReport, *more: AnyReport) -> threading.Event:
        """Queue them, to be told in one call; the event is set when the server has the last of them (or has refused it for
        good)."""
        arrived = threading.Event()
        with self._changed:
            if isinstance(report, Sample) and len(self._queue) > _BATCH:
                arrived.set()
                return arrived
            first = not self._queue
            for one in (report, *more):
                arrived = threading.Event()
                self._queue.append((one, arrived))
            self._last = time.monotonic()
            if first or self._urgent():  # else it looks by itself when enough have come
                self._changed.notify()
        return arrived

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that was queued has arrived."""
        with self._changed:
            last = self._queue[-1][1] if self._queue else None
            self._hurried = True
            self._changed.notify()
        return last is None or last.wait(timeout_s)

    def stop(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                while not self._queue and not self._stop.is_set():
                    self._changed.wait()
                self._wait_for_company()
                batch = list(self._queue)[:_BATCH]
            try:
                self._deliver(batch)
            except Stopped:
                return
            with self._changed:
                for _ in batch:
                    self._queue.popleft()[1].set()

    def _wait_for_company(self) -> None:
        until = time.monotonic() + _LONGEST_S
        while not self._urgent() and (left := min(self._last + _COMPANY_S, until) - time.monotonic()) > 0:
            self._changed.wait(left)

    def _urgent(self) -> bool:
        everything_can_wait = all(isinstance(report, _PATIENT) for report, _ in self._queue)
        return self._stop.is_set() or self._hurried or not everything_can_wait

    def _deliver(self, batch: list[tuple[AnyReport, threading.Event]]) -> None:
        """All at once; one by one when the server refuses the lot, so that a bad one does not hold up the others."""
        reports = [report for report, _ in batch]
        try:
            wishes = persistently(lambda: self._server.report(reports, -1), self._stop)
            self._answered(wishes)
        except Broken:
            if len(batch) > 1:
                for item in batch:
                    self._deliver([item])
