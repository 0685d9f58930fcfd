"""All that depends on which database it is: how to connect, how to begin, how to insert-or-leave, how to lock a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Connection, Engine, Select, Table, bindparam, event, func, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from mayfly.kit.clock import Millis
from mayfly.store.statements import Statement

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


def connect(url: str) -> Engine:
    """An engine for `sqlite:///…` or `postgresql://…`. SQLite runs in WAL with synchronous=FULL, so a commit that has
    returned survives power loss (promise 1)."""
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if not url.startswith("sqlite"):
        return sqlalchemy.create_engine(url, pool_size=20, pool_pre_ping=True)
    engine = sqlalchemy.create_engine(
        url, poolclass=NullPool, connect_args={"timeout": 30, "check_same_thread": False, "cached_statements": 512}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=4000",
            "foreign_keys=ON",
            "cache_size=-32000",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("mayfly_begin", "DEFERRED")
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.execute(f"BEGIN {mode}")  # SQLAlchemy's way takes as long as ten looks

    return engine


def reading(engine: Engine) -> Engine:
    """The same engine for looks: all statements of one see one moment. SQLite's transactions do so by themselves."""
    if is_sqlite(engine):
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def ran_into_another(error: DBAPIError) -> bool:
    """Whether the unit only met another one (serialization failure, deadlock) and may be run again."""
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")


def lost_transaction(connection: Connection) -> bool:
    """Whether SQLite has rolled back the whole transaction by itself, as it may when the disk is full."""
    driver = connection.connection.dbapi_connection
    return driver is None or not driver.in_transaction


@contextmanager
def changing_schema(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables are made and changed; until it ends nobody else does so."""
    with engine.connect() as connection:
        if is_sqlite(engine):
            connection = connection.execution_options(mayfly_begin="IMMEDIATE")
        with connection.begin():
            if not is_sqlite(engine):
                connection.execute(select(func.pg_advisory_xact_lock(0x6D6179666C79)))
            yield connection


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """What is raised inside undoes what was done inside, and nothing else of the transaction. SQLite's, said to the driver
    itself: SQLAlchemy's own take as long as the statements of a small unit."""
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.execute("SAVEPOINT unit")
    try:
        yield
    except BaseException:
        if driver.in_transaction:
            driver.execute("ROLLBACK TO unit")
            driver.execute("RELEASE unit")
        raise
    driver.execute("RELEASE unit")


def alone(connection: Connection, what: str) -> None:
    """Until the transaction ends, no other one that asks for the same goes on. SQLite's writer is alone anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


@contextmanager
def turn(engine: Engine, what: str, within_s: float) -> Iterator[bool]:
    """As `alone`, but over all servers, outside of any transaction, and until the block ends or its process dies. False
    when others had it for all of `within_s`. SQLite has one server."""
    if is_sqlite(engine):
        yield True
        return
    name = func.hashtextextended(what, 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(select(func.set_config("lock_timeout", f"{int(within_s * 1000)}", False)))
        try:
            connection.execute(select(func.pg_advisory_lock(name)))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":
                raise
            yield False
            return
        try:
            yield True
        finally:
            with suppress(DBAPIError):  # a connection that was lost has let go of it
                connection.execute(select(func.pg_advisory_unlock(name)))


def apart(url: str) -> Engine:
    """As `connect`, for connections that are not shared: each statement is a transaction, which need not be durable."""
    engine = connect(url).execution_options(isolation_level="AUTOCOMMIT")
    if not is_sqlite(engine):

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.execute("SET synchronous_commit = off")
            connection.commit()

    return engine


def notify(connection: Connection, channel: str, text: str) -> None:
    """Tell all that listen; at most 7,999 bytes of text."""
    connection.execute(select(func.pg_notify(channel, text)))


def listen(connection: Connection, channel: str) -> None:
    """From now on `notices` has what is told there."""
    connection.exec_driver_sql(f"LISTEN {channel}")


def notices(connection: Connection, within_s: float) -> Iterator[str]:
    """What was told since the last call, then what comes, for so long."""
    driver: Any = connection.connection.driver_connection
    for one in driver.notifies(timeout=within_s):
        yield one.payload


def count_on(connection: Connection, table: Table) -> None:
    """Numbers that the database gives go on after the largest that is there. SQLite's do by themselves."""
    if connection.dialect.name == "sqlite":
        return
    for column in table.primary_key.columns:
        name = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
        if name is not None:
            largest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(name, largest, False)))


def insert_or_leave(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows that clash with nothing; how many went in."""
    if not rows:
        return 0
    if len(rows) == 1:
        return _insert(connection.dialect.name, table, tuple(rows[0])).run(connection, rows[0])
    return connection.execute(
        _inserting(connection.dialect.name, table).values(list(rows)).on_conflict_do_nothing()
    ).rowcount


def _inserting(name: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say what to do where it clashes."""
    if name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # loads much, and an embedded server never needs it

    return postgresql.insert(table)


@lru_cache(maxsize=64)
def _insert(name: str, table: Table, columns: tuple[str, ...]) -> Statement:
    values = {column: bindparam(column) for column in columns}
    statement = _inserting(name, table).values(values).on_conflict_do_nothing()
    return Statement(statement.execution_options(preserve_rowcount=True))


def insert_many_or_leave(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """As `insert_or_leave`, for any number of rows."""
    if rows:
        _insert(connection.dialect.name, table, tuple(rows[0])).run_all(connection, rows)


def insert_or_replace(connection: Connection, table: Table, row: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Insert the row, or set its other columns where the keys exist."""
    _upsert(connection.dialect.name, table, tuple(row), tuple(keys)).run(connection, row)


def insert_many_or_replace(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> None:
    """As `insert_or_replace`, for any number of rows with the same columns."""
    if rows:
        _upsert(connection.dialect.name, table, tuple(rows[0]), tuple(keys)).run_all(connection, rows)


@lru_cache(maxsize=64)
def _upsert(name: str, table: Table, columns: tuple[str, ...], keys: tuple[str, ...]) -> Statement:
    statement = _inserting(name, table).values({column: bindparam(column) for column in columns})
    rest = {column: statement.excluded[column] for column in columns if column not in keys}
    return Statement(statement.on_conflict_do_update(index_elements=list(keys), set_=rest))


def locked(connection: Connection, statement: Select[Any]) -> Select[Any]:
    """Hold the rows until the unit ends. SQLite's writer is alone anyway."""
    return statement if connection.dialect.name == "sqlite" else statement.with_for_update()


def clock(connection: Connection) -> Millis:
    """The database's clock."""
    if connection.dialect.name == "sqlite":
        question = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    else:
        question = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
    return Millis(connection.scalar(text(question)) or 0)
