"""The store's schema: its version, its migrations (expand, then contract), and its epoch."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text, update

from mayfly.kit.errors import Invalid
from mayfly.store import dialect
from mayfly.store.tables import meta
from mayfly.store.unit import Store, Unit

FOLDER = Path(__file__).parent / "migrations"
HEAD = "0013"
"""The version this code writes; a test holds it equal to the newest migration."""

_one_at_a_time = threading.Lock()
"""Alembic keeps what it works on in its module."""


def upgrade(store: Store, target: str = HEAD) -> None:
    """Bring the store to that version. Raises Invalid `StoreTooNew` for one that a newer Mayfly made."""
    found = store.read(version)
    if found == target:
        return
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if newer := {found, target} - known - {None}:
        raise Invalid(
            "StoreTooNew",
            f"This store was made by a newer Mayfly (schema {newer.pop()}; this one writes {HEAD}).",
            remedy="Install that version of mayfly-ml, or point MAYFLY_HOME at another folder.",
        )
    with _one_at_a_time, store.engine.connect() as connection:
        if dialect.is_sqlite(store.engine):
            connection = connection.execution_options(mayfly_begin="IMMEDIATE")
        with connection.begin():
            dialect.lock_schema(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, target)


def epoch(store: Store) -> int:
    """The store's epoch, part of every fence; a restore from backup begins the next one (`dump.take_in`)."""

    def ensure(unit):
        dialect.insert_or_leave(unit.connection, meta, [{"key": "epoch", "value": "1"}])
        return int(unit.connection.scalar(select(meta.c.value).where(meta.c.key == "epoch")))

    return store.write(ensure)


def rise(store: Store, key: str, least: int, by: int) -> int:
    """A number that is larger than the last one by at least `by`, whatever became of any clock since."""
    return store.write(lambda unit: risen(unit, key, least, by))


def risen(unit: Unit, key: str, least: int, by: int) -> int:
    """As `rise`, with what else the unit does."""
    dialect.insert_or_leave(unit.connection, meta, [{"key": key, "value": "0"}])
    kept = dialect.locked(unit.connection, select(meta.c.value).where(meta.c.key == key))
    number = max(least, int(unit.connection.scalar(kept) or 0) + by)
    unit.connection.execute(update(meta).where(meta.c.key == key).values(value=str(number)))
    return number


def version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("select version_num from alembic_version"))
