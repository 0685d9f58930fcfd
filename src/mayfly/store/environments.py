"""Environments by the hash of their definition: wanted, ready with a plan, failed with the resolver's words, dropped
because nobody waited for them any more, or stale because a node could not install their plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from mayfly.domain.compute import Placement
from mayfly.domain.environments import passes
from mayfly.domain.job import TERMINAL, Cause
from mayfly.kit.clock import Millis
from mayfly.kit.ids import WorkspaceId
from mayfly.store import codec, dialect, leases
from mayfly.store.statements import Statement
from mayfly.store.tables import environments, jobs
from mayfly.store.unit import Store, Unit
from mayfly.wire import agent

LEASE = Millis(30_000)
USE_MS = 60_000
"""How exactly the last use of one is known: by that much its row is not written again."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose quota a build holds: of the first who wanted it, until it is made or has failed."""

    workspace: WorkspaceId
    subscription: str
    submitter: str
    priority: int = 2


_QUESTION = select(environments).where(environments.c.digest == bindparam("wanted"))
_DIGEST, _LOCK = Statement(_QUESTION), Statement(_QUESTION, locks=True)
_ENDED = tuple(sorted(state.value for state in TERMINAL))


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    digest: str
    definition: dict[str, Any]
    state: str
    kind: str
    """What has to be made: 'packages', 'image' or 'build'."""
    plan: agent.EnvironmentPlan | None
    error: Cause | None
    asked: bool
    tries: int
    used_at: Millis
    owner: Owner | None = None
    placement: Placement | None = None
    """What its build holds."""


def want(
    unit: Unit,
    digest: str,
    definition: Mapping[str, Any],
    now: Millis,
    kind: str = "packages",
    asked: bool = False,
    owner: Owner | None = None,
) -> EnvironmentRow:
    """Ask for it to be made. One that has failed stays failed, unless the failure was a passing one or a person asks
    for another try (`asked`)."""
    row = {"digest": digest, "definition": codec.dump(dict(definition)), "state": "wanted", "kind": kind}
    known = None
    while known is None:  # one that was there may be forgotten before we hold it
        dialect.insert_or_leave(unit.connection, environments, [row | {"created_at": now, "used_at": now}])
        known = _LOCK.one(unit.connection, {"wanted": digest})
    values: dict[str, Any] = {"used_at": now}
    error = codec.cause_of(known.error)
    again = known.state == "failed" and (asked or error is None or passes(error.code))
    if known.state in ("dropped", "stale") or again:
        values |= {"state": "wanted", "error": None}
    if asked and known.state != "ready":
        values["asked"] = True
    if owner is not None and known.placement is None:
        values["owner"] = codec.dump(asdict(owner))
    unit.connection.execute(update(environments).where(environments.c.digest == digest).values(**values))
    found = get(unit.connection, digest)
    assert found is not None
    return found


def in_use(unit: Unit, digest: str, plan: agent.EnvironmentPlan | None, now: Millis) -> bool:
    """Whether there is nothing to write when it is wanted once more: it is made (by that plan, where one is given), and its
    last use is as good as now. It stays so until the unit ends."""
    row = unit.recall(("environment", digest), (environments,), lambda c: _one(c, _LOCK, digest))
    if row is None or row.state != "ready" or row.placement is not None:
        return False
    return 0 <= now - row.used_at < USE_MS and (plan is None or plan == row.plan)


def known(store: Store, digest: str) -> EnvironmentRow | None:
    """As `get`, now."""
    return store.recall(("environment", digest), (environments,), lambda connection: get(connection, digest))


def get(connection: Connection, digest: str) -> EnvironmentRow | None:
    return _one(connection, _DIGEST, digest)


def beginning_with(connection: Connection, prefix: str) -> list[EnvironmentRow]:
    """At most two, by the first letters of their hash."""
    rows = connection.execute(
        select(environments).where(environments.c.digest.startswith(prefix, autoescape=True)).limit(2)
    )
    return [_row(row) for row in rows]


def everything(connection: Connection) -> list[EnvironmentRow]:
    return [_row(row) for row in connection.execute(select(environments).order_by(environments.c.digest))]


def wanted(connection: Connection) -> list[EnvironmentRow]:
    rows = connection.execute(
        select(environments).where(environments.c.state == "wanted").order_by(environments.c.created_at)
    )
    return [_row(row) for row in rows]


def claim(unit: Unit, digest: str, holder: str) -> bool:
    """Take or renew the right to make it; False while another server has it."""
    return leases.claim(unit, _lease(digest), holder, LEASE)


def begin(unit: Unit, digest: str) -> int:
    """Count another try; its number."""
    unit.connection.execute(
        update(environments).where(environments.c.digest == digest).values(tries=environments.c.tries + 1)
    )
    return unit.connection.scalar(select(environments.c.tries).where(environments.c.digest == digest)) or 1


def let_go(unit: Unit, digest: str, holder: str) -> None:
    leases.release(unit, _lease(digest), holder)


def ready(unit: Unit, digest: str, plan: agent.EnvironmentPlan, holder: str | None = None) -> bool:
    """Keep the plan. With a `holder`: only while its lease lasts; False when it does not."""
    if not _held(unit, digest, holder):
        return False
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == digest)
        .values(state="ready", plan=msgspec.json.encode(plan).decode(), error=None, asked=False)
    )
    return True


def failed(unit: Unit, digest: str, cause: Cause, holder: str | None = None) -> bool:
    if not _held(unit, digest, holder):
        return False
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == digest)
        .values(state="failed", error=codec.cause_text(cause), asked=False)
    )
    return True


def lock(unit: Unit, digest: str) -> EnvironmentRow | None:
    """Its row, held until the unit ends: nobody begins to want it meanwhile."""
    return _one(unit.connection, _LOCK, digest)


def drop(unit: Unit, digest: str) -> None:
    """Nobody wants it any more: the next who does begins anew. A plan that it has is left to jobs that run with it."""
    unit.connection.execute(
        update(environments).where(environments.c.digest == digest).values(state="dropped", asked=False)
    )


def doubt(unit: Unit, digest: str, *, wanted: bool) -> None:
    """Its lock cannot be installed any more: who wants it next gets another, which is looked for now if `wanted`. Jobs
    that run with it keep it."""
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == digest, environments.c.state.in_(("ready", "stale")))
        .values(state="wanted" if wanted else "stale")
    )


def is_idle(connection: Connection, digest: str, before: Millis) -> bool:
    """Whether there is something to forget: nobody asked for it since, and no job that has not ended names it."""
    query = select(environments).where(environments.c.digest == digest, environments.c.used_at < before)
    row = connection.execute(query).one_or_none()
    if row is None or row.asked or row.state == "wanted" or (row.state == "dropped" and row.plan is None):
        return False
    live = select(jobs.c.id).where(jobs.c.environment == digest, jobs.c.state.not_in(_ENDED)).limit(1)
    return connection.execute(live).first() is None


def forget(unit: Unit, digest: str) -> None:
    """Give up its lock or its failure. Its name stays with the jobs that had it."""
    named = select(jobs.c.id).where(jobs.c.environment == digest).limit(1)
    if unit.connection.execute(named).first() is None:
        unit.connection.execute(delete(environments).where(environments.c.digest == digest))
        return
    values = {"state": "dropped", "plan": None, "error": None, "asked": False}
    unit.connection.execute(update(environments).where(environments.c.digest == digest).values(**values))


def needed_plans(connection: Connection) -> set[str]:
    """The digests of the plans that jobs which have not ended run with."""
    live = select(jobs.c.environment).where(jobs.c.state.not_in(_ENDED))
    rows = connection.execute(select(environments).where(environments.c.digest.in_(live)))
    return {row.plan.digest for row in map(_row, rows) if row.plan is not None}


def _lease(digest: str) -> str:
    return f"environment {digest[:48]}"


def _held(unit: Unit, digest: str, holder: str | None) -> bool:
    return holder is None or leases.holder_of(unit, _lease(digest)) == holder


def _one(connection: Connection, statement: Statement, digest: str) -> EnvironmentRow | None:
    row = statement.one(connection, {"wanted": digest})
    return None if row is None else _row(row)


def _row(row: Any) -> EnvironmentRow:
    return EnvironmentRow(
        row.digest,
        codec.load(row.definition),
        row.state,
        row.kind,
        None if row.plan is None else msgspec.json.decode(row.plan, type=agent.EnvironmentPlan),
        codec.cause_of(row.error),
        row.asked,
        row.tries,
        Millis(row.used_at),
        None if row.owner is None else Owner(**codec.load(row.owner)),
        None if row.placement is None else codec.placement_of(row.placement),
    )
