"""Statements that are made once and run all the time. SQLite's go to its driver by themselves: what SQLAlchemy does around a small
statement takes ten times as long as the statement does, and making one anew fifty times."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, exc
from sqlalchemy.sql.dml import Insert, UpdateBase

NOTHING: Mapping[str, Any] = {}
Made = Select[*tuple[Any, ...]] | CompoundSelect[Any] | UpdateBase


class Statement:
    """What changes from one run to the next is a `bindparam` of it. Rows have their columns as attributes. Who listens to the engine
    hears of each run (`before_cursor_execute`, and `after_execute` of one that writes), and errors are SQLAlchemy's."""

    def __init__(self, statement: Made, *, locks: bool = False) -> None:
        """`locks`: what it finds is held until the unit ends; SQLite's writer is alone anyway."""
        self._statement: Any = statement.with_for_update() if locks and isinstance(statement, Select) else statement
        self._plain = statement
        self._said: dict[tuple[str, ...], _Said] = {}

    def all(self, connection: Connection, values: Mapping[str, Any] = NOTHING) -> Sequence[Any]:
        said = self._say(connection, values)
        if said is None:
            return connection.execute(self._statement, values).all()
        return [said.row(one) for one in said.run(connection, values).fetchall()]

    def one(self, connection: Connection, values: Mapping[str, Any] = NOTHING) -> Any | None:
        """The first row, where there is one."""
        said = self._say(connection, values)
        if said is None:
            return connection.execute(self._statement, values).first()
        found = said.run(connection, values).fetchone()
        return None if found is None else said.row(found)

    def value(self, connection: Connection, values: Mapping[str, Any] = NOTHING) -> Any | None:
        """The first column of the first row."""
        found = self.one(connection, values)
        return None if found is None else found[0]

    def run(self, connection: Connection, values: Mapping[str, Any] = NOTHING) -> int:
        """How many rows it changed."""
        said = self._say(connection, values)
        if said is None:
            return connection.execute(self._statement, values).rowcount
        return said.run(connection, values).rowcount

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Once for each, all with the same names; nothing where there are none."""
        if not rows:
            return
        said = self._say(connection, rows[0])
        if said is None:
            connection.execute(self._statement, rows)
        else:
            said.run_all(connection, rows)

    def _say(self, connection: Connection, values: Mapping[str, Any]) -> _Said | None:
        """None: it goes by SQLAlchemy."""
        if connection.dialect.name != "sqlite":
            return None
        names = tuple(values) if isinstance(self._plain, Insert) else ()
        said = self._said.get(names)
        if said is None:
            said = self._said[names] = _Said(self._plain, connection, names)
        return said


class _Said:
    """A statement in SQLite's own words."""

    def __init__(self, statement: Made, connection: Connection, columns: tuple[str, ...]) -> None:
        dialect = connection.dialect
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns) or None)
        if compiled.post_compile_params:
            raise AssertionError("A list of any length is no part of such a statement.")
        self._statement, self._text = statement, str(compiled)
        self._names: list[str] = compiled.positiontup
        self._given = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._given |= {column.key: column.default.arg for column in getattr(compiled, "insert_prefetch", ())}
        self._into = _converters(
            [compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in self._names]
        )
        self._writes = isinstance(statement, UpdateBase)
        found = [] if isinstance(statement, UpdateBase) else list(statement.selected_columns)
        self._shape: Any = namedtuple("Row", [column.key for column in found], rename=True)._make
        self._out = _converters([column.type.dialect_impl(dialect).result_processor(dialect, None) for column in found])

    def row(self, found: Sequence[Any]) -> Any:
        return self._shape(_converted(found, self._out))

    def run(self, connection: Connection, values: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._told(connection, lambda driver: driver.execute, self._values(values))

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        self._told(connection, lambda driver: driver.executemany, [self._values(values) for values in rows])

    def _told(self, connection: Connection, how: Callable[[Any], Callable[..., Any]], values: Any) -> sqlite3.Cursor:
        heard = connection.dispatch
        for listener in heard.before_cursor_execute:
            listener(connection, None, self._text, values, None, False)
        try:
            cursor = how(connection.connection.dbapi_connection)(self._text, values)
        except sqlite3.Error as error:
            raise getattr(exc, type(error).__name__)(self._text, values, error) from error
        if self._writes:
            for listener in heard.after_execute:
                listener(connection, self._statement, (), {}, {}, cursor)
        return cursor

    def _values(self, values: Mapping[str, Any]) -> Sequence[Any]:
        given = {**self._given, **values} if self._given else values
        return _converted([given[name] for name in self._names], self._into)


_Converters = Sequence[tuple[int, Callable[[Any], Any]]]


def _converters(processors: Sequence[Callable[[Any], Any] | None]) -> _Converters:
    return [(place, process) for place, process in enumerate(processors) if process is not None]


def _converted(values: Sequence[Any], converters: _Converters) -> Sequence[Any]:
    if not converters:
        return values
    found = list(values)
    for place, process in converters:
        found[place] = process(found[place])
    return found
