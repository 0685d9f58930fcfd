"""What was read and is still so."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, func, insert, select

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict
from mayfly.store import dialect, events
from mayfly.store.tables import events as rows
from mayfly.store.tables import feed
from mayfly.store.unit import Store, Unit


class _Look:
    """Counts the events, and how often it looked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, connection: Connection) -> int:
        self.times += 1
        return connection.scalar(select(func.count()).select_from(rows)) or 0


def _happen(unit: Unit) -> None:
    unit.connection.execute(insert(rows), events.values_of("thing", "Happened", Millis(1)))


def test_an_answer_is_never_older_than_what_was_written(store: Store) -> None:
    look = _Look()
    for count in range(3):
        for _ in range(2):
            assert store.recall("events", (rows, feed), look) == count
        store.write(_happen)
    assert look.times == (3 if dialect.is_sqlite(store.engine) else 6)


def test_a_unit_sees_what_it_has_written_itself_and_what_came_before_it_in_its_commit(store: Store) -> None:
    look = _Look()

    def work(unit: Unit) -> tuple[int, int]:
        before = unit.recall("events", (rows,), look)
        _happen(unit)
        return before, unit.recall("events", (rows,), look)

    futures = [store.submit(work) for _ in range(20)]
    assert sorted(future.result() for future in futures) == [(number, number + 1) for number in range(20)]
    assert store.recall("events", (rows,), look) == 20


def test_what_was_undone_is_not_remembered(store: Store) -> None:
    look = _Look()

    def work(unit: Unit) -> None:
        _happen(unit)
        assert unit.recall("events", (rows,), look) == 1
        raise Conflict("NotToday", "It is undone.")

    with pytest.raises(Conflict):
        store.write(work)
    assert store.recall("events", (rows,), look) == 0


def test_who_is_on_the_way_is_waited_for(store: Store) -> None:
    if not dialect.is_sqlite(store.engine):
        pytest.skip("each unit of PostgreSQL is a transaction")
    before, many = store.commits, 32
    at_once = threading.Barrier(many)

    def come() -> None:
        with store.company.coming():
            at_once.wait()
            store.write(_happen, patient=True)

    threads = [threading.Thread(target=come) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.commits - before <= many // 4
