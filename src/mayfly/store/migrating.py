"""The migrations of a store that an older Mayfly made, by Alembic."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from mayfly.kit.errors import Invalid
from mayfly.store import dialect
from mayfly.store.unit import Store

FOLDER = Path(__file__).parent / "migrations"

_one_at_a_time = threading.Lock()
"""Alembic keeps what it works on in its module."""


def bring(store: Store, found: str | None, target: str) -> None:
    """From the version found to that one, in one transaction. Raises Invalid `StoreTooNew` for a version that this code does
    not know."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    script = ScriptDirectory.from_config(config)
    known = {one.revision for one in script.walk_revisions()}
    if newer := {found, target} - known - {None}:
        raise Invalid(
            "StoreTooNew",
            f"This store was made by a newer Mayfly (schema {newer.pop()}; this one writes {script.get_current_head()}).",
            remedy="Install that version of mayfly-ml, or point MAYFLY_HOME at another folder.",
        )
    with _one_at_a_time, dialect.changing_schema(store.engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)
