"""The store's schema: its version, its migrations (expand, then contract), and its epoch."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select, text, update

from mayfly.store import dialect
from mayfly.store.tables import meta, metadata
from mayfly.store.unit import Store, Unit

HEAD = "0015"
"""The version this code writes; a test holds it equal to the newest migration."""


_VERSION_TABLE = """create table alembic_version (
    version_num varchar(32) not null, constraint alembic_version_pkc primary key (version_num))"""
"""As Alembic makes it."""


def upgrade(store: Store, target: str = HEAD) -> None:
    """Bring the store to that version: an empty one gets the tables as they are now, an older one its migrations. Raises
    Invalid `StoreTooNew` for one that a newer Mayfly made."""
    found = store.read(version)
    if found is None and target == HEAD:
        with dialect.changing_schema(store.engine) as connection:
            found = version(connection)
            if found is None:
                metadata.create_all(connection, checkfirst=False)
                connection.execute(text(_VERSION_TABLE))
                connection.execute(text("insert into alembic_version values (:head)"), {"head": HEAD})
                return
    if found != target:
        from mayfly.store import migrating  # Alembic loads much, and only an older store needs it

        migrating.bring(store, found, target)


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
