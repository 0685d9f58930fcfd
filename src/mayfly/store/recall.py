"""What was read and is still so. An answer is kept together with how often its tables had been written to before it was
looked for; once one of them has been written to since, it is looked for again. So it is never older than a unit of work that
somebody was told is done.

Only where all who write are in this process, as with SQLite; where others write too, every call looks.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, event

Result = TypeVar("Result")


class Recall:
    """Any thread may ask; who has written says so before anybody is told that it is done."""

    MOST = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes: Counter[str] = Counter()
        self._kept: OrderedDict[Hashable, tuple[tuple[int, ...], Any]] = OrderedDict()

    def ask(self, key: Hashable, tables: tuple[Table, ...], look: Callable[[], Result]) -> Result:
        """`look` reads nothing but these tables; nobody changes what it returns."""
        with self._lock:
            now = self._now(tables)
            kept = self._kept.get(key)
            if kept is not None and kept[0] == now:
                self._kept.move_to_end(key)
                return kept[1]
        found = look()  # at least as new as `now`
        with self._lock:
            self._kept[key] = (now, found)
            self._kept.move_to_end(key)
            if len(self._kept) > self.MOST:
                self._kept.popitem(last=False)
        return found

    def written(self, tables: Iterable[str]) -> None:
        with self._lock:
            self._writes.update(tables)

    def _now(self, tables: tuple[Table, ...]) -> tuple[int, ...]:
        return tuple(self._writes[table.name] for table in tables)


def watch(engine: Engine, written: Callable[[str], None]) -> None:
    """`written` is called with the name of each table that a statement of this engine changes."""

    @event.listens_for(engine, "after_execute")
    def after(_connection: Any, statement: Any, *_rest: Any) -> None:
        if getattr(statement, "is_dml", False):
            written(statement.table.name)
