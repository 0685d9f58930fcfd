"""Units of work: what one caller writes is committed whole or not at all, and is durable when `write` returns.

On SQLite one writer thread groups callers into one commit, so one fsync serves many; each caller has a savepoint, so one
failure undoes only its own. On PostgreSQL every unit is a transaction. Wake-ups that a unit asks for are sent after its
commit: they are hints, the rows are the truth.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, OperationalError

from mayfly.kit.errors import Invalid, Unavailable
from mayfly.store import dialect
from mayfly.transfer import killpoints

Result = TypeVar("Result")

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

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.topics: set[str] = set()
        self.steps: list[str] = []

    def wake(self, *topics: str) -> None:
        self.topics.update(topics)

    def passing(self, step: str) -> None:
        """Name a persisted step that this unit takes."""
        if step not in STEPS:
            raise AssertionError(f"'{step}' is not in store.unit.STEPS")
        self.steps.append(step)

    def reaches(self, work: Callable[[Unit], Any], side: str) -> None:
        """Its kill points: one named by the function that does it, one for each persisted step."""
        if killpoints.ARMED:
            module, name = work.__module__.rpartition(".")[2], work.__qualname__.partition(".<locals>")[0]
            for point in (f"store:{module}.{name}", *(f"server:{step}" for step in self.steps)):
                killpoints.passing(f"{point}:{side}")


class Store:
    """Threads may share it. `wake` is called with topics after each commit."""

    def __init__(self, url: str, wake: Callable[[set[str]], None]) -> None:
        self.engine = dialect.connect(url)
        self._reading = dialect.reading(self.engine)
        self.wake = wake
        self._writer = _Writer(self.engine, self._finish) if dialect.is_sqlite(self.engine) else None
        self._local = threading.local()

    def write(self, work: Callable[[Unit], Result]) -> Result:
        """Run `work` in a unit and return what it returned, after the commit is durable. What `work` raises is raised
        here and nothing of it is kept. `work` may run again (PostgreSQL retries a serialization failure), so it must
        not touch anything but its unit."""
        return self.submit(work).result()

    def submit(self, work: Callable[[Unit], Result]) -> Future[Result]:
        """As `write`, without waiting."""
        future: Future[Result] = Future()
        if self._writer is not None:
            self._writer.put(work, future)
            return future
        try:
            future.set_result(self._transaction(work))
        except Exception as error:  # noqa: BLE001 - handed to the caller through the future
            future.set_exception(error)
        return future

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

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self.engine.dispose()

    def _transaction(self, work: Callable[[Unit], Result]) -> Result:
        for left in reversed(range(_TRIES)):
            try:
                with self.engine.begin() as connection:
                    unit = Unit(connection)
                    result = work(unit)
                    unit.reaches(work, "before")
            except DataError as error:
                raise _not_storable(error) from error
            except OperationalError as error:
                if left and dialect.ran_into_another(error):
                    continue
                raise _commit_failure(error) from error
            self._finish(unit, work)
            return result
        raise AssertionError("unreachable")

    def _finish(self, unit: Unit, work: Callable[[Unit], Any]) -> None:
        unit.reaches(work, "after")
        if unit.topics:
            with suppress(Exception):  # a hint that nobody could take; the unit is committed all the same
                self.wake(unit.topics)


class _Writer:
    """The one thread that writes to SQLite."""

    MOST = 256

    def __init__(self, engine: Engine, finish: Callable[[Unit, Callable[[Unit], Any]], None]) -> None:
        self._finish = finish
        self._queue: queue.SimpleQueue[tuple[Callable[[Unit], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closed = False
        # Here, so that the first connection turns WAL on alone, and what is wrong with the file is raised to who asks.
        self._connection = engine.connect().execution_options(mayfly_begin="IMMEDIATE")
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[Unit], Any], future: Future[Any]) -> None:
        with self._door:
            if self._closed:
                raise Unavailable("ServerStopping", "The server is stopping.", remedy="Try again in a moment.")
            self._queue.put((work, future))

    def close(self) -> None:
        with self._door:
            self._closed = True
            self._queue.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            batch, last = self._batch()
            if batch:
                self._commit(self._connection, batch)
            if last:
                self._connection.close()
                return

    def _batch(self) -> tuple[list[tuple[Callable[[Unit], Any], Future[Any]]], bool]:
        item = self._queue.get()
        batch = []
        while item is not None:
            batch.append(item)
            if len(batch) >= self.MOST or self._queue.empty():
                return batch, False
            item = self._queue.get()
        return batch, True

    def _commit(self, connection: Connection, batch: list[tuple[Callable[[Unit], Any], Future[Any]]]) -> None:
        done: list[tuple[Unit, Callable[[Unit], Any], Any, Future[Any]]] = []
        try:
            with connection.begin():
                for work, future in batch:
                    unit = Unit(connection)
                    try:
                        with connection.begin_nested():
                            result = work(unit)
                    except Exception as error:
                        if dialect.lost_transaction(connection):
                            raise
                        future.set_exception(_commit_failure(error) if isinstance(error, OperationalError) else error)
                        continue
                    done.append((unit, work, result, future))
                for unit, work, _, _ in done:
                    unit.reaches(work, "before")
        except Exception as error:  # noqa: BLE001 - the commit failed: nobody's work was kept, everybody is told
            for *_, future in done:
                future.set_exception(_commit_failure(error))
            for _, future in batch:
                if not future.done():
                    future.set_exception(_commit_failure(error))
            return
        for unit, work, result, future in done:
            self._finish(unit, work)
            future.set_result(result)


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
