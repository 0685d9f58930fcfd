"""Who is about to write. A writer that may wait for them does the work of many with one wait for the disk."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Company:
    """Any thread may come."""

    YOUNG_S = 1.0
    """Who takes longer than this until it writes is not waited for."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._coming: dict[int, float] = {}

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Something that will probably write soon, until it has done so and said it."""
        number = next(self._numbers)
        self._coming[number] = time.monotonic()
        try:
            yield
        finally:
            del self._coming[number]

    def expected(self) -> int:
        """How many there are, with those whose work is waiting to be committed."""
        since = time.monotonic() - self.YOUNG_S
        return sum(came >= since for came in list(self._coming.values()))
