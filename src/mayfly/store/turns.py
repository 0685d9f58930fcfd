"""One at a time, for what is done outside of every unit: over the threads of this server, and on PostgreSQL over all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mayfly.kit.errors import Unavailable
from mayfly.store import dialect
from mayfly.store.unit import Store

_LONGEST_S = 60.0


class Turns:
    """Whoever has a turn may ask for one of other `Turns`, never for another one of the same."""

    def __init__(self, store: Store, within_s: float = _LONGEST_S) -> None:
        self._store, self._within_s = store, within_s
        self._locks = [threading.Lock() for _ in range(16)]

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """It ends with the block, and with its process. Raises Unavailable `TurnTaken` when another server keeps it for too
        long."""
        with (
            self._locks[hash(name) % len(self._locks)],
            dialect.turn(self._store.turning, name, self._within_s) as mine,
        ):
            if not mine:
                raise Unavailable("TurnTaken", f"Another server is still busy with {name}.", remedy="Try again later.")
            yield
