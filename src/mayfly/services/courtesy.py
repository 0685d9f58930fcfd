"""Who waits for an answer goes first: work that nobody waits for stands back while a person is being served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_S = 0.05
"""How long one stands back at the most, so that it goes on beside any number of people."""


class Courtesy:
    def __init__(self) -> None:
        self._nobody = threading.Condition()
        self._served = 0

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
                self._nobody.notify_all()

    def stand_back(self) -> None:
        """Before a piece of work of a few milliseconds."""
        if self._served:
            with self._nobody:
                self._nobody.wait_for(lambda: not self._served, LONGEST_S)
