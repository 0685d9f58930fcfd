"""Who waits for an answer goes first: work that nobody waits for stands back while a person is being served."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_S = 0.05
"""How long one stands back at the most, so that it goes on beside any number of people."""
PART = 1 / 4
"""How much of the time one works at the most while people come."""
LATELY_S = 0.3
"""Who was served so short a time ago may come again."""


class Courtesy:
    def __init__(self) -> None:
        self._nobody = threading.Condition()
        self._served = 0
        self._last = -LATELY_S

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A person's request, while it is worked on."""
        with self._nobody:
            self._served += 1
        try:
            yield
        finally:
            with self._nobody:
                self._served -= 1
                self._last = time.monotonic()
                self._nobody.notify_all()

    @property
    def lately(self) -> bool:
        """Whether somebody is being served, or was a moment ago."""
        return self._served > 0 or time.monotonic() - self._last < LATELY_S

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        """Work of a handful of pieces: while people come, as much time again is left to them afterwards as `PART` says."""
        began = time.thread_time()
        yield
        if self.lately:
            time.sleep(min(LONGEST_S, (time.thread_time() - began) * (1 / PART - 1)))

    def stand_back(self) -> None:
        """Before a piece of work of a few milliseconds."""
        if self._served:
            with self._nobody:
                self._nobody.wait_for(lambda: not self._served, LONGEST_S)
