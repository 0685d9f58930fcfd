"""Units of work: what one caller writes is committed whole or not at all, and is durable when `write` returns.

On SQLite those who come together are grouped into one commit, so one fsync serves many; each caller has a savepoint, so one
failure undoes only its own. On PostgreSQL every unit is a transaction. Wake-ups that a unit asks for are sent after its
commit: they are hints, the rows are the truth.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DataError, OperationalError

from mayfly.kit.errors import Invalid, Unavailable
from mayfly.store import dialect
from mayfly.store.company import Company
from mayfly.store.recall import Recall, watch
from mayfly.transfer import killpoints

Item = TypeVar("Item")
Result = TypeVar("Result")
Joint = Callable[["Unit", Sequence[Item]], Sequence[Result]]
"""What many callers want of one kind, as one unit: a result for each of their items. It is the same function for all of them."""

LastWrite = Callable[[Connection, Sequence[Mapping[str, Any]]], None]
"""Inserts rows of one kind; the same function for all of them."""

_TRIES = 10
"""How often a unit is run that meets others on PostgreSQL."""

STEPS = (
    "job accepted",
    "cancel accepted",
    "attempt reserved",
    "node created",
    "node greeted",
    "build reserved",
    "environment resolved",
    "phase entered",
    "rank ready",
    "start granted",
    "rank started",
    "checkpoint kept",
    "tracking kept",
    "tracking fed",
    "rank exited",
    "job ended",
    "attempt released",
    "node gone",
    "step started",
    "pipeline ended",
)
"""The persisted steps of a job's and a node's life in the store. Each is two kill points, before its commit and after."""


class Unit:
    """One caller's connection, and the wake-ups to send when it has committed."""

    def __init__(self, connection: Connection, recall: Recall | None = None, touched: set[str] | None = None) -> None:
        """`touched`: the tables that units of the same commit have written to so far."""
        self.connection = connection
        self.topics: set[str] = set()
        self.steps: list[str] = []
        self._last: dict[LastWrite, list[Mapping[str, Any]]] = {}
        self._recall = recall
        self._touched: set[str] = set() if touched is None else touched

    def recall(self, key: Hashable, tables: tuple[Table, ...], look: Callable[[Connection], Result]) -> Result:
        """As `Store.recall`, with what this unit has written."""
        if self._recall is None or any(table.name in self._touched for table in tables):
            return look(self.connection)
        return self._recall.ask(key, tables, lambda: look(self.connection))

    def at_end(self, write: LastWrite, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows that nobody reads in this unit: all of one kind go in together, in their order, before the unit is done."""
        self._last.setdefault(write, []).extend(rows)

    def end(self) -> None:
        """Its work is done: what waits for that goes in."""
        for write, rows in self._last.items():
            write(self.connection, rows)

    def wake(self, *topics: str) -> None:
        self.topics.update(topics)

    def passing(self, step: str) -> None:
        """Name a persisted step that this unit takes."""
        if step not in STEPS:
            raise AssertionError(f"'{step}' is not in store.unit.STEPS")
        self.steps.append(step)

    def reaches(self, work: Callable[..., Any], side: str) -> None:
        """Its kill points: one named by the function that does it, one for each persisted step."""
        if killpoints.ARMED:
            module, name = work.__module__.rpartition(".")[2], work.__qualname__.partition(".<locals>")[0]
            for point in (f"store:{module}.{name}", *(f"server:{step}" for step in self.steps)):
                killpoints.passing(f"{point}:{side}")


class Store:
    """Threads may share it. `wake` is called with topics after each commit."""

    def __init__(self, url: str, wake: Callable[[set[str]], None]) -> None:
        self.company = Company()
        """Who announces here that it will write `patient` units gets them committed together with others'."""
        self.engine = dialect.connect(url)
        self._reading = dialect.reading(self.engine)
        self.turning = self.engine if dialect.is_sqlite(self.engine) else dialect.connect(url)
        """For `store.turns`: who waits for a turn takes no connection away from who has one."""
        self.wake = wake
        self._recall = Recall() if dialect.is_sqlite(self.engine) else None
        self._writer = None
        if self._recall is not None:
            self._writer = _Writer(self.engine, self._finish, self._recall, self.company.expected)
        self._local = threading.local()

    def write(self, work: Callable[[Unit], Result], *, patient: bool = False) -> Result:
        """Run `work` in a unit and return what it returned, after the commit is durable. What `work` raises is raised
        here and nothing of it is kept. `work` may run again (PostgreSQL retries a serialization failure), so it must
        not touch anything but its unit. `patient`: it may wait a moment for others that are on their way (`company`)."""
        if self._writer is None:
            return self._transaction(work)
        return self._writer.do(_Wanted(work, None, Future(), patient))

    def submit(self, work: Callable[[Unit], Result], *, patient: bool = False) -> Future[Result]:
        """As `write`, without waiting."""
        future: Future[Result] = Future()
        if self._writer is not None:
            self._writer.put(_Wanted(work, None, future, patient))
            return future
        try:
            future.set_result(self._transaction(work))
        except Exception as error:  # noqa: BLE001 - handed to the caller through the future
            future.set_exception(error)
        return future

    def join(self, work: Joint[Item, Result], item: Item) -> Result:
        """As a `patient` `write`, of what others may want at the same moment: `work` gets the items of all of them, and what
        fails for several is done for each by itself."""
        if self._writer is None:
            return self._transaction(lambda unit: work(unit, [item])[0], work)
        return self._writer.do(_Wanted(work, item, Future(), patient=True, joint=True))

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` on a consistent view of what is committed."""
        if self._writer is None:
            try:
                with self._reading.connect() as connection:
                    return work(connection)
            except DataError as error:
                raise _not_storable(error) from error
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = self.engine.connect()
        with connection.begin():
            return work(connection)

    def recall(self, key: Hashable, tables: tuple[Table, ...], look: Callable[[Connection], Result]) -> Result:
        """What `look` reads of these tables, from memory while nobody has written to them since (`store.recall`). Nobody
        changes what it returns; `key` is of one kind of look alone."""
        if self._recall is None:
            return self.read(look)
        return self._recall.ask(key, tables, lambda: self.read(look))

    @property
    def commits(self) -> int:
        """How often it has waited for the disk, where it has one writer."""
        return 0 if self._writer is None else self._writer.commits

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self.engine.dispose()
        self.turning.dispose()

    def _transaction(self, work: Callable[[Unit], Result], named: Callable[..., Any] | None = None) -> Result:
        for left in reversed(range(_TRIES)):
            try:
                with self.engine.begin() as connection:
                    unit = Unit(connection)
                    result = work(unit)
                    unit.end()
                    unit.reaches(named or work, "before")
            except DataError as error:
                raise _not_storable(error) from error
            except OperationalError as error:
                if left and dialect.ran_into_another(error):
                    continue
                raise _commit_failure(error) from error
            self._finish(unit, named or work)
            return result
        raise AssertionError("unreachable")

    def _finish(self, unit: Unit, work: Callable[..., Any]) -> None:
        unit.reaches(work, "after")
        if unit.topics:
            with suppress(Exception):  # a hint that nobody could take; the unit is committed all the same
                self.wake(unit.topics)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A unit that a caller waits for; `joint`: one that others may want too, each with an item of its own."""

    work: Callable[..., Any]
    item: Any
    future: Future[Any]
    patient: bool
    joint: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    """Units that became one, with what each caller gets; not yet committed. `error`: why one is undone, which nobody is told
    before the commit either, because it may be due to what others are about to commit."""

    unit: Unit
    wanted: Sequence[_Wanted]
    results: Sequence[Any] = ()
    error: Exception | None = None


class _Writer:
    """Writes to SQLite, one at a time. Who waits and is alone does its work itself, because to hand it on and to be told takes
    longer than most work; what comes meanwhile, and what nobody waits for, is one thread's."""

    MOST = 256
    LONGEST_S, GAP_S = 0.1, 0.03
    """How long patient units wait for others, and for the next of them."""

    def __init__(
        self,
        engine: Engine,
        finish: Callable[[Unit, Callable[[Unit], Any]], None],
        recall: Recall,
        expected: Callable[[], int],
    ) -> None:
        self._finish = finish
        self._expected = expected
        self._recall = recall
        self._touched: set[str] = set()
        self.commits = 0
        watch(engine, self._touched.add)
        self._queue: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closed = False
        self._in_line = 0
        """How many the thread has still to do: nobody goes before them."""
        self._turn = threading.Lock()
        """Who has it has the connection."""
        # Here, so that the first connection turns WAL on alone, and what is wrong with the file is raised to who asks.
        self._connection = engine.connect().execution_options(mayfly_begin="IMMEDIATE")
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, wanted: _Wanted) -> None:
        with self._door:
            self._line_up(wanted)

    def do(self, wanted: _Wanted) -> Any:
        """As `put`, for who waits for it: what comes of it."""
        alone = not wanted.patient or self._expected() <= 1
        with self._door:
            mine = alone and not (self._closed or self._in_line) and self._turn.acquire(blocking=False)
            if not mine:
                self._line_up(wanted)
        if mine:
            try:
                self._commit([wanted])
            finally:
                self._turn.release()
        return wanted.future.result()

    def close(self) -> None:
        with self._door:
            self._closed = True
            self._queue.put(None)
        self._thread.join(timeout=30)

    def _line_up(self, wanted: _Wanted) -> None:
        if self._closed:
            raise Unavailable("ServerStopping", "The server is stopping.", remedy="Try again in a moment.")
        self._in_line += 1
        self._queue.put(wanted)

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            with self._turn:
                batch, last = self._batch(first)
                if batch:
                    self._commit(batch)
                if last:
                    self._connection.close()
                    return
            with self._door:
                self._in_line -= len(batch)

    def _batch(self, item: _Wanted | None) -> tuple[list[_Wanted], bool]:
        batch: list[_Wanted] = []
        patient, until = True, time.monotonic() + self.LONGEST_S
        while item is not None:
            batch.append(item)
            patient = patient and item.patient
            if len(batch) >= self.MOST:
                return batch, False
            try:
                item = self._next(len(batch), min(until, time.monotonic() + self.GAP_S) if patient else 0)
            except queue.Empty:
                return batch, False
        return batch, True

    def _next(self, got: int, until: float) -> _Wanted | None:
        """The next one that is there or, until then, on its way. Raises queue.Empty."""
        while True:
            try:
                return self._queue.get_nowait()
            except queue.Empty:
                if time.monotonic() >= until or self._expected() <= got:
                    raise
            with suppress(queue.Empty):
                return self._queue.get(timeout=0.001)

    def _commit(self, batch: list[_Wanted]) -> None:
        connection, done = self._connection, list[_Done]()
        try:
            with connection.begin():
                for alike in _joined(batch):
                    done += self._carry_out(connection, alike)
                for one in done:
                    if one.error is None:
                        one.unit.reaches(one.wanted[0].work, "before")
        except Exception as error:  # noqa: BLE001 - the commit failed: nobody's work was kept, everybody is told
            self._forget_touched()
            for wanted in batch:
                wanted.future.set_exception(_commit_failure(error))
            return
        self.commits += 1
        self._forget_touched()
        for one in done:
            if one.error is not None:
                one.wanted[0].future.set_exception(one.error)
                continue
            self._finish(one.unit, one.wanted[0].work)
            for wanted, result in zip(one.wanted, one.results, strict=True):
                wanted.future.set_result(result)

    def _carry_out(self, connection: Connection, alike: Sequence[_Wanted]) -> list[_Done]:
        """All of them as one unit or, where that fails, each by itself."""
        unit, work = Unit(connection, self._recall, self._touched), alike[0].work
        try:
            with dialect.savepoint(connection):
                results = work(unit, [one.item for one in alike]) if alike[0].joint else [work(unit)]
                unit.end()
        except Exception as error:
            if dialect.lost_transaction(connection):
                raise
            if len(alike) > 1:
                return [done for one in alike for done in self._carry_out(connection, [one])]
            return [_Done(unit, alike, error=_commit_failure(error) if isinstance(error, OperationalError) else error)]
        return [_Done(unit, alike, results)]

    def _forget_touched(self) -> None:
        """What was read of these tables before is old, from now on for everybody."""
        self._recall.written(self._touched)
        self._touched.clear()


def _joined(batch: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """In their order; neighbours that want the same are together."""
    for _, alike in groupby(batch, lambda one: one.work if one.joint else id(one)):
        yield list(alike)


def _not_storable(error: DataError) -> Invalid:
    return Invalid("ValueNotStorable", f"The database cannot hold such a value: {error.orig}.")


def _commit_failure(error: Exception) -> Exception:
    return Unavailable(
        "StoreUnavailable",
        f"The store could not be written ({type(error).__name__}: {error}). Nothing of this request was kept.",
        remedy="Free disk space in the state folder, or make it writable, and try again.",
    )


def database_url(folder: Path) -> str:
    """The embedded default: `mayfly.db` in the state folder."""
    return f"sqlite:///{folder / 'mayfly.db'}"
