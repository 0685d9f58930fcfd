"""Environments by the hash of their definition: wanted, ready with a plan, or failed with the resolver's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from mayfly.domain.job import Cause
from mayfly.kit.clock import Millis
from mayfly.store import codec, dialect
from mayfly.store.tables import environments
from mayfly.store.unit import Unit
from mayfly.wire import agent


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    digest: str
    definition: dict[str, Any]
    state: str
    plan: agent.EnvironmentPlan | None
    error: Cause | None


def want(unit: Unit, digest: str, definition: dict[str, Any], now: Millis) -> None:
    """Ask for it to be resolved. One that has failed is wanted again: a failure is not cached as an answer."""
    row = {"digest": digest, "definition": codec.dump(definition), "state": "wanted", "created_at": now}
    dialect.insert_or_leave(unit.connection, environments, [row])
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == digest, environments.c.state == "failed")
        .values(state="wanted", error=None)
    )


def get(connection: Connection, digest: str) -> EnvironmentRow | None:
    row = connection.execute(select(environments).where(environments.c.digest == digest)).one_or_none()
    return None if row is None else _row(row)


def wanted(connection: Connection) -> list[EnvironmentRow]:
    rows = connection.execute(
        select(environments).where(environments.c.state == "wanted").order_by(environments.c.created_at)
    )
    return [_row(row) for row in rows]


def ready(unit: Unit, digest: str, plan: agent.EnvironmentPlan) -> None:
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == digest)
        .values(state="ready", plan=msgspec.json.encode(plan).decode(), error=None)
    )


def failed(unit: Unit, digest: str, cause: Cause) -> None:
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == digest)
        .values(state="failed", error=codec.cause_text(cause))
    )


def _row(row: Any) -> EnvironmentRow:
    return EnvironmentRow(
        row.digest,
        codec.load(row.definition),
        row.state,
        None if row.plan is None else msgspec.json.decode(row.plan, type=agent.EnvironmentPlan),
        codec.cause_of(row.error),
    )
