"""Migrations lead to exactly the tables that the code speaks of, on every database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from mayfly.kit.errors import Invalid
from mayfly.store import migrating, schema
from mayfly.store.tables import metadata
from mayfly.store.unit import Store
from mayfly.testing.databases import Databases


@pytest.fixture
def empty(database: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    url = databases.empty(database, tmp_path)
    yield url
    databases.drop(url)


def opened(url: str) -> Store:
    return Store(url, lambda topics: None)


def test_migrations_and_a_new_store_give_the_tables_of_the_code(empty: str, database_url: str) -> None:
    migrated, new = opened(empty), opened(database_url)
    schema.upgrade(migrated, "0001")
    schema.upgrade(migrated)
    for store in (migrated, new):
        with store.engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, metadata) == []
    assert described(migrated) == described(new)
    migrated.close()
    new.close()


def described(store: Store) -> dict[str, list[str]]:
    """All that the database says of its tables, each list in an order of its own."""
    looking = inspect(store.engine)
    return {
        f"{table} {what}": sorted(json.dumps(entry, default=str, sort_keys=True) for entry in ask(table))
        for table in sorted(looking.get_table_names())
        for what, ask in {
            "columns": looking.get_columns,
            "indexes": looking.get_indexes,
            "unique": looking.get_unique_constraints,
            "references": looking.get_foreign_keys,
            "checks": looking.get_check_constraints,
        }.items()
    } | {f"{table} key": [str(looking.get_pk_constraint(table))] for table in looking.get_table_names()}


def test_an_upgrade_may_be_repeated(empty: str) -> None:
    store = opened(empty)
    schema.upgrade(store)
    assert schema.epoch(store) == 1
    schema.upgrade(store)
    assert schema.epoch(store) == 1
    store.close()


def test_an_upgrade_that_fails_half_way_leaves_nothing(empty: str) -> None:
    store = opened(empty)
    with store.engine.begin() as connection:
        connection.execute(text("create table jobs (x integer)"))
    with pytest.raises(Exception, match="jobs"):
        schema.upgrade(store)
    with store.engine.begin() as connection:
        names = store.engine.dialect.get_table_names(connection)
        assert names == ["jobs"]
        connection.execute(text("drop table jobs"))
    schema.upgrade(store)
    store.close()


def test_two_servers_may_upgrade_at_once(empty: str) -> None:
    stores = [opened(empty) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(schema.upgrade, stores))
    assert {schema.epoch(store) for store in stores} == {1}
    for store in stores:
        store.close()


def test_the_newest_migration_is_the_one_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrating.FOLDER))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [schema.HEAD]
    assert script.get_bases() == ["0001"]


def test_a_store_of_a_newer_mayfly_is_left_alone(database_url: str) -> None:
    store = opened(database_url)
    with store.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(Invalid) as caught:
        schema.upgrade(store)
    assert caught.value.code == "StoreTooNew"
    assert "9999" in caught.value.message and schema.HEAD in caught.value.message
    assert caught.value.remedy
    store.close()
