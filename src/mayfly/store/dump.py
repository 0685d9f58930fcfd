"""All rows of a store as lines of text, which any store of the same schema can take in: what a backup holds of it.

A line that is a JSON object names a table and its columns; those that are lists are its rows. Tables are read from the
database, not from `store.tables`, so that the rows of an older schema are taken in as they are and then migrated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, select

from mayfly.kit.errors import Conflict, Invalid
from mayfly.store import dialect, schema, state
from mayfly.store.unit import Store, Unit

_AT_ONCE = 1000
_SCHEMA = "alembic_version"


def lines(store: Store, take: Callable[[Iterator[str]], Any]) -> str:
    """Give `take` all lines, as of one moment; the version of the schema."""

    def read(connection: Connection) -> str:
        version = schema.version(connection)
        if version is None:
            raise Invalid("StoreEmpty", "There is nothing in this store.")
        take(_lines(connection))
        return version

    return store.read(read)


def _lines(connection: Connection) -> Iterator[str]:
    for table in _tables(connection):
        yield _line({"table": table.name, "columns": [column.name for column in table.columns]})
        for row in connection.execute(select(table).order_by(*table.primary_key.columns)):
            yield _line(list(row))


def take_in(store: Store, version: str, told: Callable[[], Iterable[str]], count: int, epoch: int) -> int:
    """Fill a store that is empty with the `count` lines that `lines` gave; the epoch that begins, at least `epoch`. In one
    unit, so that no server ever finds the rows in the epoch they were taken from. `told` may be asked for them again.
    Raises Conflict `StoreInUse`, Invalid `StoreTooNew` and `BackupDamaged`."""
    schema.upgrade(store, version)

    def keep(unit: Unit) -> int:
        _fill(unit.connection, told(), count)
        state.forget(unit)
        return schema.risen(unit, "epoch", epoch, 1)

    return store.write(keep)


def _fill(connection: Connection, told: Iterable[str], expected: int) -> None:
    tables = {table.name: table for table in _tables(connection)}
    for table in tables.values():
        if connection.scalar(select(func.count()).select_from(table)):
            raise Conflict(
                "StoreInUse",
                "There are rows in this store already.",
                remedy="Restore into an empty one: set MAYFLY_HOME to another folder, or name another database.",
            )
    lines = list(told)
    if len(lines) != expected:
        raise _damaged(f"there are {len(lines)} lines, not {expected}")
    for table, rows in _batches(tables, lines):
        connection.execute(table.insert(), rows)
    for table in tables.values():
        dialect.count_on(connection, table)


def _batches(tables: Mapping[str, Table], told: Iterable[str]) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    table, names, rows = None, [], []
    for line in told:
        one = _parsed(line)
        if isinstance(one, dict) or len(rows) == _AT_ONCE:
            if table is not None and rows:
                yield table, rows
            rows = []
        if isinstance(one, dict):
            table, names = tables.get(one.get("table", "")), one.get("columns", [])
        elif table is None or len(one) != len(names):
            raise _damaged("a row belongs to no table that there is")
        else:
            rows.append(dict(zip(names, one, strict=True)))
    if table is not None and rows:
        yield table, rows


def _tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != _SCHEMA]


def _line(value: list[Any] | dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _parsed(line: str) -> list[Any] | dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise _damaged(str(error)) from error
    if not isinstance(found, list | dict):
        raise _damaged("a line is neither a row nor a table")
    return found


def _damaged(why: str) -> Invalid:
    return Invalid("BackupDamaged", f"The rows of the backup cannot be read: {why}.")
