"""Statements that are made once do what SQLAlchemy would, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, bindparam, delete, event, insert, select, update
from sqlalchemy.exc import IntegrityError

from mayfly.store.statements import Statement
from mayfly.store.tables import leases, ledgers
from mayfly.store.unit import Store

_ADD = Statement(insert(leases))
_ONE = Statement(select(leases).where(leases.c.name == bindparam("of")), locks=True)
_EVERY = Statement(select(leases.c.name, leases.c.until).order_by(leases.c.name))
_LONGER = Statement(
    update(leases).where(leases.c.name == bindparam("of"), leases.c.holder == "ann").values(until=leases.c.until + 5)
)
_DROP = Statement(delete(leases).where(leases.c.until > bindparam("than")))


def test_rows_are_as_they_were_written(store: Store) -> None:
    rows = [{"name": name, "holder": "ann", "until": number} for number, name in enumerate("cab")]
    store.write(lambda unit: _ADD.run_all(unit.connection, rows))
    found = store.read(_EVERY.all)
    assert [(one.name, one.until) for one in found] == [("a", 1), ("b", 2), ("c", 0)]
    assert store.write(lambda unit: _LONGER.run(unit.connection, {"of": "a"})) == 1
    assert store.write(lambda unit: _LONGER.run(unit.connection, {"of": "z"})) == 0
    changed = store.write(lambda unit: _ONE.one(unit.connection, {"of": "a"}))
    assert (changed.holder, changed.until) == ("ann", 6)
    assert store.write(lambda unit: _ONE.one(unit.connection, {"of": "z"})) is None
    assert store.write(lambda unit: _DROP.run(unit.connection, {"than": 1})) == 2
    assert store.read(_EVERY.value) == "c"


def test_defaults_and_types_are_the_tables(store: Store) -> None:
    """A Boolean is one, not a number; a column that is left out has the value that the table says."""
    add, find = Statement(insert(ledgers)), Statement(select(ledgers.c.set_by_user, ledgers.c.held))
    row = {"scope": "s", "family": "f", "tier": "Standard", "limit": None, "held": 0}
    store.write(lambda unit: add.run(unit.connection, row))
    store.write(lambda unit: add.run(unit.connection, {**row, "tier": "Spot", "set_by_user": True}))
    assert sorted(tuple(one) for one in store.read(find.all)) == [(False, 0), (True, 0)]
    assert all(type(one.set_by_user) is bool for one in store.read(find.all))


def test_who_listens_to_the_engine_hears_of_it(store: Store) -> None:
    heard: list[str] = []
    tables: list[str] = []

    def before(_connection: Connection, _cursor: object, text: str, *_rest: object) -> None:
        heard.append(text.split()[0])

    def after(_connection: Connection, statement: object, *_rest: object) -> None:
        if getattr(statement, "is_dml", False):
            tables.append(getattr(statement, "table").name)  # noqa: B009

    event.listen(store.engine, "before_cursor_execute", before)
    event.listen(store.engine, "after_execute", after)
    store.write(lambda unit: _ADD.run(unit.connection, {"name": "a", "holder": "ann", "until": 1}))
    store.read(_EVERY.one)
    event.remove(store.engine, "before_cursor_execute", before)
    event.remove(store.engine, "after_execute", after)
    assert [word for word in heard if word in ("INSERT", "SELECT")] == ["INSERT", "SELECT"]
    assert tables == ["leases"]


def test_errors_are_those_of_sqlalchemy(store: Store) -> None:
    row = {"name": "a", "holder": "ann", "until": 1}
    store.write(lambda unit: _ADD.run(unit.connection, row))
    with pytest.raises(IntegrityError):
        store.write(lambda unit: _ADD.run(unit.connection, row))
    assert len(store.read(_EVERY.all)) == 1
