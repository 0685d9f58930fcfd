"""Rows of blobs on every database: in the order of their letters, and changed only by who saw the last change."""

from __future__ import annotations

import threading
from dataclasses import replace

from mayfly.kit.clock import Millis
from mayfly.store import blobs
from mayfly.store.blobs import BlobRow
from mayfly.store.unit import Store

ROW = BlobRow("ws_1", "store", "a", "0" * 64, 1, 0, "first", Millis(1), Millis(1), {}, {"k": "v"}, [("00", 1)])


def test_a_row_is_changed_only_by_who_saw_it(store: Store) -> None:
    assert store.write(lambda unit: blobs.swap(unit, None, ROW))
    assert not store.write(lambda unit: blobs.swap(unit, None, replace(ROW, etag="other")))
    second = replace(ROW, etag="second", digest=None, metadata={})
    assert store.write(lambda unit: blobs.swap(unit, ROW, second))
    assert not store.write(lambda unit: blobs.swap(unit, ROW, replace(ROW, etag="third")))
    assert not store.write(lambda unit: blobs.remove(unit, ROW))
    assert store.read(lambda connection: blobs.find(connection, "ws_1", "store", "a")) == second
    assert store.write(lambda unit: blobs.remove(unit, second))
    assert store.read(lambda connection: blobs.find(connection, "ws_1", "store", "a")) is None


def test_one_of_many_makes_it(store: Store) -> None:
    made: list[bool] = []

    def make(number: int) -> None:
        made.append(store.write(lambda unit: blobs.swap(unit, None, replace(ROW, etag=str(number)))))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]


def test_they_come_in_the_order_of_their_letters(store: Store) -> None:
    names = ["", "A", "B/x", "_", "a", "a b", "a-", "a/", "a/b", "a0", "b", "z", "é", "日", "😀"]
    for name in reversed(names):
        store.write(lambda unit, name=name: blobs.swap(unit, None, replace(ROW, path=name)))
    found = store.read(lambda connection: blobs.onwards(connection, "ws_1", "store", "", 100))
    assert [row.path for row in found] == sorted(names)
    after = store.read(lambda connection: blobs.onwards(connection, "ws_1", "store", "a", 3, inclusive=False))
    assert [row.path for row in after] == ["a b", "a-", "a/"]
    around = store.read(lambda connection: blobs.around(connection, "ws_1", "store", "a"))
    assert sorted(row.path for row in around) == ["a", "a/b"]
