"""Fresh databases with the newest schema, on every kind of database there is here."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
from pathlib import Path

import sqlalchemy
from sqlalchemy import Engine

from mayfly.store import schema
from mayfly.store.tables import metadata
from mayfly.store.unit import Store
from mayfly.testing import postgresql

VARIABLE = "MAYFLY_TEST_POSTGRESQL"
"""The URL of a database whose user may create databases; without it a private cluster is started where possible."""


HOUSE_VARIABLE = "MAYFLY_TEST_HOUSE"
HOUSE = os.environ.get(HOUSE_VARIABLE, "sqlite")
"""The kind of database under the servers of tests that do not choose one."""


def kinds() -> tuple[str, ...]:
    """'sqlite', and 'postgresql' where one can be had."""
    reachable = bool(os.environ.get(VARIABLE)) or postgresql.programs() is not None
    with_driver = importlib.util.find_spec("psycopg") is not None
    return ("sqlite", "postgresql") if reachable and with_driver else ("sqlite",)


def in_memory() -> str | None:
    """A folder that lies on no disk, where there is one: for thousands of commits that need not be durable."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Databases:
    """Each `fresh` one is a copy of a template that was migrated once, or an earlier one that was emptied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster: postgresql.Cluster | None = None
        self._admin: Engine | None = None
        self._template = f"mayfly_template_{secrets.token_hex(6)}"
        self._sqlite: Path | None = None
        self._free: list[str] = []

    def fresh(self, kind: str, folder: Path) -> str:
        """The URL of a database of its own; an SQLite one lies in `folder`."""
        if kind == "sqlite":
            path = folder / "mayfly.db"
            shutil.copyfile(self._sqlite_template(), path)
            return f"sqlite:///{path}"
        if not self._free:
            return self._create(f"mayfly_test_{secrets.token_hex(6)}", self._postgresql_template())
        url = self._free.pop()
        _clear(url)
        return url

    def empty(self, kind: str, folder: Path) -> str:
        """As `fresh`, without any table."""
        if kind == "sqlite":
            return f"sqlite:///{folder / 'mayfly.db'}"
        self._postgresql_template()
        return self._create(f"mayfly_empty_{secrets.token_hex(6)}", "template0")

    def drop(self, url: str) -> None:
        """Nobody uses it any more. One that was `fresh` is kept, to be emptied for the next who asks."""
        database = sqlalchemy.make_url(url).database or ""
        if database.startswith("mayfly_test_"):
            self._free.append(url)
        elif database.startswith("mayfly_empty_"):
            self._drop(database)

    def close(self) -> None:
        if self._admin is not None:
            for url in self._free:
                self._drop(sqlalchemy.make_url(url).database or "")
            self._drop(self._template)
            self._admin.dispose()
        if self._cluster is not None:
            self._cluster.close()

    def _sqlite_template(self) -> Path:
        if self._sqlite is None:
            path = self._folder / "template.db"
            _migrate(f"sqlite:///{path}")
            self._sqlite = path
        return self._sqlite

    def _postgresql_template(self) -> str:
        if self._admin is None:
            self._admin = sqlalchemy.create_engine(_with_driver(self._server()), isolation_level="AUTOCOMMIT")
            _migrate(self._create(self._template, "template0"))
        return self._template

    def _server(self) -> str:
        given = os.environ.get(VARIABLE)
        if given:
            return given
        programs = postgresql.programs()
        if programs is None:
            raise RuntimeError("There is no PostgreSQL here.")
        self._cluster = postgresql.Cluster(programs)
        return self._cluster.url()

    def _create(self, name: str, template: str) -> str:
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        url = self._admin.url if self._admin is not None else sqlalchemy.make_url("postgresql://")
        return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def _drop(self, database: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def _run(self, statement: str) -> None:
        if self._admin is not None:
            with self._admin.connect() as connection:
                connection.exec_driver_sql(statement)


def _migrate(url: str) -> None:
    store = Store(url, lambda topics: None)
    schema.upgrade(store)
    store.close()
    if url.startswith("sqlite"):
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.dispose()


def _clear(url: str) -> None:
    """Delete every row, after ending connections that a test has left."""
    engine = sqlalchemy.create_engine(_with_driver(url))
    statements = [
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ]
    statements += [f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables)]
    statements.append(f"UPDATE alembic_version SET version_num = '{schema.HEAD}'")
    with engine.begin() as connection:
        connection.exec_driver_sql("; ".join(statements))
    engine.dispose()


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
