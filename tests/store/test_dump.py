"""All rows of a store, told as lines and taken in by another one, of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mayfly.kit.errors import Conflict, Invalid
from mayfly.services import submit
from mayfly.store import dump, schema
from mayfly.store.tables import metadata
from mayfly.store.unit import Store
from mayfly.testing.databases import Databases, kinds
from mayfly.testing.snapshots import machine
from mayfly.testing.world import HERE, scene


@pytest.fixture(params=kinds())
def other(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[Store]:
    """An empty one, without a table."""
    (tmp_path / "other").mkdir()
    url = databases.empty(request.param, tmp_path / "other")
    store = Store(url, lambda topics: None)
    yield store
    store.close()
    databases.drop(url)


def told(store: Store) -> tuple[str, list[str]]:
    lines: list[str] = []
    return dump.lines(store, lines.extend), lines


def test_another_store_of_either_kind_takes_all_rows_in(tmp_path: Path, database_url: str, other: Store) -> None:
    found = scene(tmp_path, database_url, machine(cores=4))
    for number in range(3):
        submit.submit(found.world, "ann", HERE, found.submission(name=f"job-{number}"))
    found.turn()
    version, lines = told(found.world.store)
    assert dump.take_in(other, version, lambda: lines, len(lines), 7) == 7
    for table in metadata.sorted_tables:
        rows = [list(row) for row in found.world.store.read(lambda c, t=table: c.execute(select(t)).all())]
        again = [list(row) for row in other.read(lambda c, t=table: c.execute(select(t)).all())]
        assert sorted(map(repr, rows)) == sorted(map(repr, again)) or table.name == "meta", table.name
    assert schema.epoch(other) == 7
    events = metadata.tables["events"]
    last = other.read(lambda connection: connection.scalar(select(func.max(events.c.sequence))))
    workspace = other.read(lambda connection: connection.scalar(select(events.c.workspace)))
    row = {"workspace": workspace, "thing": "x", "type": "y", "version": 1, "at": 1, "data": "{}"}
    other.write(lambda unit: unit.connection.execute(events.insert(), row))
    assert other.read(lambda connection: connection.scalar(select(func.max(events.c.sequence)))) == last + 1
    found.world.store.close()


def test_a_store_that_holds_something_takes_nothing_in(tmp_path: Path, database_url: str) -> None:
    found = scene(tmp_path, database_url, machine(cores=1))
    version, lines = told(found.world.store)
    with pytest.raises(Conflict, match="rows in this store already"):
        dump.take_in(found.world.store, version, lambda: lines, len(lines), 7)
    assert told(found.world.store)[1] == lines
    found.world.store.close()


@pytest.mark.parametrize("wrong", [["[1]"], ['{"table": "nobody", "columns": []}', "[1]"], ["{"], ["3"], []])
def test_damaged_rows_leave_the_store_empty(other: Store, wrong: list[str]) -> None:
    lines = ['{"table": "meta", "columns": ["key", "value"]}', '["a", "b"]', *wrong]
    with pytest.raises(Invalid) as refused:
        dump.take_in(other, schema.HEAD, lambda: lines, len(lines) + (not wrong), 7)
    assert refused.value.code == "BackupDamaged"
    assert not other.read(lambda connection: connection.execute(select(metadata.tables["meta"])).all())


def test_rows_of_a_newer_mayfly_are_refused(other: Store) -> None:
    with pytest.raises(Invalid) as refused:
        dump.take_in(other, "9999", list, 0, 7)
    assert refused.value.code == "StoreTooNew"
