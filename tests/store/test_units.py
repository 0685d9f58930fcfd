"""Units of work: whole or not at all, durable when they return, grouped where that saves a sync of the disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, event, insert, select
from sqlalchemy.exc import IntegrityError

from mayfly.kit.errors import Unavailable
from mayfly.store import dialect
from mayfly.store.tables import meta
from mayfly.store.unit import Store, Unit

WRITER = """
import itertools, sys
from sqlalchemy import insert
from mayfly.store.tables import meta
from mayfly.store.unit import Store

store = Store(sys.argv[1], lambda topics: None)
for number in itertools.count():
    store.write(lambda unit: unit.connection.execute(insert(meta).values(key=f"k{number}", value="v")))
    print(number, flush=True)
"""


def put(unit: Unit, key: str) -> str:
    unit.connection.execute(insert(meta).values(key=key, value="v"))
    return key


def keys(store: Store) -> set[str]:
    return store.read(lambda connection: set(connection.scalars(select(meta.c.key))))


def test_what_was_written_is_read(store: Store) -> None:
    assert store.write(lambda unit: put(unit, "a")) == "a"
    assert keys(store) == {"a"}


def test_a_failure_keeps_nothing_and_is_raised(store: Store) -> None:
    def fail(unit: Unit) -> None:
        put(unit, "a")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(fail)
    assert keys(store) == set()


def test_a_clash_is_an_integrity_error_and_the_store_goes_on(store: Store) -> None:
    store.write(lambda unit: put(unit, "a"))
    with pytest.raises(IntegrityError):
        store.write(lambda unit: (put(unit, "b"), put(unit, "a")))
    assert store.write(lambda unit: put(unit, "c")) == "c"
    assert keys(store) == {"a", "c"}


def test_what_waits_for_the_end_of_a_unit_goes_in_together_or_not_at_all(store: Store) -> None:
    went_in = []

    def insert_all(connection: Connection, rows: Sequence[Mapping[str, str]]) -> None:
        went_in.append(len(rows))
        connection.execute(insert(meta), [dict(row) for row in rows])

    def work(unit: Unit, *names: str) -> None:
        for name in names:
            unit.at_end(insert_all, [{"key": name, "value": "v"}])
        put(unit, "begun")

    store.write(lambda unit: work(unit, "a", "b"))
    assert (keys(store), went_in) == ({"a", "b", "begun"}, [2])
    with pytest.raises(IntegrityError):
        store.write(lambda unit: (unit.connection.execute(delete(meta).where(meta.c.key == "begun")), work(unit, "a")))
    assert keys(store) == {"a", "b", "begun"}


def test_one_failing_caller_undoes_only_its_own(store: Store) -> None:
    def work(number: int, unit: Unit) -> None:
        put(unit, f"k{number}")
        if number % 3 == 0:
            raise ValueError(number)

    def call(number: int) -> str:
        try:
            store.write(lambda unit: work(number, unit))
        except ValueError as error:
            assert error.args == (number,)
            return "failed"
        return "kept"

    with ThreadPoolExecutor(16) as pool:
        ends = list(pool.map(call, range(60)))
    assert [end == "failed" for end in ends] == [number % 3 == 0 for number in range(60)]
    assert keys(store) == {f"k{number}" for number in range(60) if number % 3}


def put_all(unit: Unit, wanted: Sequence[str]) -> list[str]:
    return [put(unit, key) for key in wanted]


def test_what_several_want_together_fails_only_for_whom_it_must(store: Store) -> None:
    wanted = [f"k{number // 2 if number < 8 else number}" for number in range(24)]  # four of them twice

    def call(key: str) -> bool:
        try:
            assert store.join(put_all, key) == key
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(24) as pool:
        kept = list(pool.map(call, wanted))
    assert keys(store) == set(wanted)
    assert sorted(key for key, done in zip(wanted, kept, strict=True) if done) == sorted(set(wanted))


def test_nobody_is_told_of_what_is_not_committed(store: Store) -> None:
    """Who fails because of what a neighbour in the same commit has written hears of it only once that is so."""
    if not dialect.is_sqlite(store.engine):
        pytest.skip("each unit is a transaction of its own")
    gates, begun = [threading.Event(), threading.Event()], threading.Event()
    first = store.submit(lambda _unit: begun.set() or gates[0].wait(20))  # the others become one batch meanwhile
    assert begun.wait(20)
    wrote = store.submit(lambda unit: put(unit, "k"))
    failed = store.submit(lambda unit: put(unit, "k"))
    last = store.submit(lambda _unit: gates[1].wait(20))
    gates[0].set()
    assert first.result(20)
    with pytest.raises(TimeoutError):
        failed.result(0.3)
    assert keys(store) == set() and not wrote.done()
    gates[1].set()
    with pytest.raises(IntegrityError):
        failed.result(20)
    assert keys(store) == {"k"} and wrote.result(20) == "k" and last.result(20)


def test_writers_that_wait_share_one_commit(store: Store) -> None:
    """On SQLite: what queues behind a running unit is committed together, so one sync serves them all."""
    if not dialect.is_sqlite(store.engine):
        assert len(_wait_for_a_gate(store)) == 41  # a transaction each
        return
    assert len(_wait_for_a_gate(store)) <= 2


def test_who_is_alone_does_its_own_work(store: Store) -> None:
    here = threading.get_ident()
    assert [store.write(lambda _unit: threading.get_ident()), store.join(_where, None)] == [here, here]


def _where(_unit: Unit, items: Sequence[None]) -> list[int]:
    return [threading.get_ident() for _ in items]


def test_nobody_goes_before_who_is_in_line(database_url: str) -> None:
    """Whoever has just written by itself, too."""
    store = Store(database_url, lambda topics: None)
    if dialect.is_sqlite(store.engine):
        with ThreadPoolExecutor(1) as pool:
            for _ in range(100):  # there is a moment, as others' work is taken up, in which nobody writes
                _write_between(store, pool)
    store.close()


def _write_between(store: Store, pool: ThreadPoolExecutor) -> None:
    inside, gate, order = threading.Event(), threading.Event(), list[str]()

    def both() -> None:
        store.write(lambda _unit: inside.set() or gate.wait(20))
        store.write(lambda _unit: order.append("last"))

    running = pool.submit(both)
    assert inside.wait(20)
    waiting = store.submit(lambda _unit: order.append("first"))
    gate.set()
    assert running.result(20) is waiting.result(20) is None
    assert order == ["first", "last"]


def _wait_for_a_gate(store: Store) -> list[Connection]:
    commits: list[Connection] = []
    event.listen(store.engine, "commit", commits.append)
    inside, gate = threading.Event(), threading.Event()

    def slow(unit: Unit) -> None:
        inside.set()
        assert gate.wait(10)
        put(unit, "slow")

    with ThreadPoolExecutor(41) as pool:
        first = pool.submit(store.write, slow)
        assert inside.wait(10)
        if dialect.is_sqlite(store.engine):
            rest = [store.submit(lambda unit, number=number: put(unit, f"k{number}")) for number in range(40)]
        else:
            rest = [
                pool.submit(store.write, lambda unit, number=number: put(unit, f"k{number}")) for number in range(40)
            ]
        gate.set()
        assert first.result(10) is None
        assert [one.result(10) for one in rest] == [f"k{number}" for number in range(40)]
    return commits


def test_wake_ups_are_sent_after_the_commit_and_only_then(database_url: str) -> None:
    heard: list[tuple[set[str], set[str]]] = []
    stores: list[Store] = []
    other = Store(database_url, lambda topics: None)
    stores.append(Store(database_url, lambda topics: heard.append((topics, keys(other)))))

    def work(unit: Unit) -> None:
        unit.wake("jobs", "nodes")
        put(unit, "a")
        unit.wake("jobs")
        assert heard == []

    def fail(unit: Unit) -> None:
        unit.wake("never")
        raise ValueError

    stores[0].write(work)
    assert heard == [({"jobs", "nodes"}, {"a"})]
    with pytest.raises(ValueError):
        stores[0].write(fail)
    stores[0].write(lambda unit: put(unit, "b"))
    assert len(heard) == 1
    for store in (*stores, other):
        store.close()


def test_a_listener_that_fails_stops_nobody(database_url: str) -> None:
    def fail(topics: set[str]) -> None:
        raise RuntimeError("deaf")

    store = Store(database_url, fail)
    for key in ("a", "b"):
        assert store.write(lambda unit, key=key: (unit.wake("jobs"), put(unit, key))[1]) == key
    assert keys(store) == {"a", "b"}
    store.close()


def test_a_read_sees_one_moment(database_url: str) -> None:
    store = Store(database_url, lambda topics: None)
    store.write(lambda unit: put(unit, "a"))

    def look(connection: Connection) -> tuple[set[str], set[str]]:
        before = set(connection.scalars(select(meta.c.key)))
        store.write(lambda unit: put(unit, "b"))
        return before, set(connection.scalars(select(meta.c.key)))

    assert store.read(look) == ({"a"}, {"a"})
    assert keys(store) == {"a", "b"}
    store.close()


def test_a_failing_read_leaves_the_store_usable(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        store.read(lambda connection: (connection.execute(select(meta)).all(), 1 // 0))
    store.write(lambda unit: put(unit, "a"))
    assert keys(store) == {"a"}


def test_after_the_end_a_write_is_refused_not_lost(database_url: str) -> None:
    store = Store(database_url, lambda topics: None)
    store.write(lambda unit: put(unit, "a"))
    if not dialect.is_sqlite(store.engine):
        store.close()
        return
    store.close()
    with pytest.raises(Unavailable) as caught:
        store.write(lambda unit: put(unit, "b"))
    assert caught.value.code == "ServerStopping"


def test_nobody_waits_for_ever_when_the_store_closes(database_url: str) -> None:
    """Writers race with the end: each is answered, and what was answered well is there."""
    store = Store(database_url, lambda topics: None)
    kept: list[str] = []

    def write(number: int) -> None:
        try:
            kept.append(store.write(lambda unit: put(unit, f"k{number}")))
        except Unavailable:
            return

    with ThreadPoolExecutor(8) as pool:
        ends = [pool.submit(write, number) for number in range(200)]
        ends[20].result(30)
        if dialect.is_sqlite(store.engine):
            store.close()
        for end in ends:
            end.result(30)
    store.close()
    again = Store(database_url, lambda topics: None)
    assert keys(again) == set(kept)
    again.close()


def test_unknown_steps_are_a_mistake_of_ours(store: Store) -> None:
    with pytest.raises(AssertionError, match="no such step"):
        store.write(lambda unit: unit.passing("no such step"))


@pytest.mark.fault
def test_what_was_returned_survives_the_death_of_the_writer(database_url: str, tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER, encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script), database_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in process.stdout.read().split("\n") if line.strip()]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    store = Store(database_url, lambda topics: None)
    found = {int(key[1:]) for key in keys(store)}
    store.close()
    assert set(told) <= found
    assert found <= set(range(len(told) + 1)), "at the most the one whose answer was cut off"
