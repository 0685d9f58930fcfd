"""Quota and capacity: two ledgers, changed only by conditional updates, so that two servers cannot overdraw them.

Each hold of an attempt is a row; a ledger's `held` is always the sum of its rows (`check` says where not)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, and_, bindparam, delete, func, insert, or_, select, update

from mayfly.domain.compute import Amount, LedgerKey, Placement, Quota, Tier
from mayfly.kit.ids import JobId
from mayfly.store import dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import attempts, capacity, gpus, holds, ledgers
from mayfly.store.unit import Unit

CAPACITY_FAMILY = "-"


_CORES, _MIB = bindparam("more", type_=BigInteger), bindparam("mib", type_=BigInteger)
_KEY = (
    ledgers.c.scope == bindparam("at"),
    ledgers.c.family == bindparam("of"),
    ledgers.c.tier == bindparam("as"),
)
_TAKE = Statement(
    update(ledgers)
    .where(
        *_KEY,
        or_(ledgers.c.limit.is_(None), ledgers.c.held + bindparam("cores", type_=BigInteger) <= ledgers.c.limit),
    )
    .values(held=ledgers.c.held + bindparam("cores", type_=BigInteger))
)
_OCCUPY = Statement(
    update(capacity)
    .where(
        capacity.c.provider == bindparam("by"),
        capacity.c.cores_held + _CORES <= capacity.c.cores,
        capacity.c.memory_held + _MIB <= capacity.c.memory_mib,
    )
    .values(cores_held=capacity.c.cores_held + _CORES, memory_held=capacity.c.memory_held + _MIB)
)
_HOLD = Statement(insert(holds))
_MINE = (holds.c.job == bindparam("who"), holds.c.attempt == bindparam("which"))
_HELD, _DROP = Statement(select(holds).where(*_MINE), locks=True), Statement(delete(holds).where(*_MINE))
_GIVE_BACK = Statement(update(ledgers).where(*_KEY).values(held=ledgers.c.held - bindparam("cores", type_=BigInteger)))
_LEAVE = Statement(
    update(capacity)
    .where(capacity.c.provider == bindparam("by"))
    .values(cores_held=capacity.c.cores_held - _CORES, memory_held=capacity.c.memory_held - _MIB)
)
_FREE_GPUS = Statement(
    update(gpus)
    .where(gpus.c.job == bindparam("who"), gpus.c.attempt == bindparam("which"))
    .values(job=None, attempt=None)
)
_LIMITED = Statement(select(ledgers).where(ledgers.c.limit.is_not(None)))
_CAPACITY = Statement(select(capacity).where(capacity.c.provider == bindparam("by")))
_BUSY_GPUS = Statement(select(gpus.c.uuid).where(gpus.c.provider == bindparam("by"), gpus.c.job.is_not(None)))


class Overdrawn(Exception):
    """Another unit took what this one planned with: plan again."""


def ensure(unit: Unit, defaults: Mapping[LedgerKey, int | None]) -> None:
    """Make the rows that are missing, with their default limits (None: counted, not limited)."""
    rows = [
        {"scope": key.scope, "family": key.family, "tier": key.tier.value, "limit": limit, "held": 0}
        | {"set_by_user": False}
        for key, limit in sorted(defaults.items(), key=lambda item: item[0])
    ]
    dialect.insert_many_or_leave(unit.connection, ledgers, rows)


def set_limit(unit: Unit, key: LedgerKey, limit: int) -> None:
    """A person's limit. It may be below what is held: then nothing new is placed until enough has ended."""
    ensure(unit, {key: limit})
    unit.connection.execute(update(ledgers).where(_is(key)).values(limit=limit, set_by_user=True))


def refresh_default(unit: Unit, key: LedgerKey, limit: int) -> None:
    """The machine changed (other cores, other GPUs): move a limit that nobody set."""
    unit.connection.execute(update(ledgers).where(_is(key), ledgers.c.set_by_user.is_(False)).values(limit=limit))


def quotas(connection: Connection, scopes: Sequence[str] | None = None) -> dict[LedgerKey, Quota]:
    return {
        LedgerKey(row.scope, row.family, Tier(row.tier)): Quota(row.limit, row.held)
        for row in _LIMITED.all(connection)
        if scopes is None or row.scope in scopes
    }


def kept_defaults(connection: Connection) -> dict[LedgerKey, int]:
    """The limits that nobody set, as they were when their rows were made."""
    rows = connection.execute(select(ledgers).where(ledgers.c.set_by_user.is_(False), ledgers.c.limit.is_not(None)))
    return {LedgerKey(row.scope, row.family, Tier(row.tier)): row.limit for row in rows}


def set_by_user(connection: Connection) -> set[LedgerKey]:
    rows = connection.execute(select(ledgers).where(ledgers.c.set_by_user.is_(True)))
    return {LedgerKey(row.scope, row.family, Tier(row.tier)) for row in rows}


def set_capacity(unit: Unit, provider: str, total: Amount) -> None:
    """What the provider can give at most; what is held stays held."""
    row = {"provider": provider, "cores": total.cores, "memory_mib": total.memory_mib}
    dialect.insert_or_leave(unit.connection, capacity, [row | {"cores_held": 0, "memory_held": 0}])
    unit.connection.execute(update(capacity).where(capacity.c.provider == provider).values(**row))
    present = [{"provider": provider, "uuid": uuid} for uuid in sorted(total.gpus)]
    dialect.insert_or_leave(unit.connection, gpus, present)
    unit.connection.execute(
        delete(gpus).where(gpus.c.provider == provider, gpus.c.job.is_(None), gpus.c.uuid.not_in(sorted(total.gpus)))
    )


def capacity_held(connection: Connection, provider: str) -> Amount:
    row = _CAPACITY.one(connection, {"by": provider})
    if row is None:
        return Amount()
    busy = _BUSY_GPUS.all(connection, {"by": provider})
    return Amount(row.cores_held, row.memory_held, frozenset(one.uuid for one in busy))


@dataclass(frozen=True, slots=True)
class Take:
    """What an attempt needs, to be held."""

    job: JobId
    attempt: int
    placement: Placement


def take(unit: Unit, provider: str, takes: Sequence[Take]) -> None:
    """Hold what they need, all of it or (raising Overdrawn, which undoes the unit) nothing."""
    connection = unit.connection
    quota: Counter[LedgerKey] = Counter()
    held: list[dict[str, Any]] = []
    for one in takes:
        quota.update(one.placement.quota)
        held += [_hold(one, key.scope, key.family, key.tier, cores) for key, cores in one.placement.quota.items()]
    for key, cores in sorted(quota.items()):
        if _TAKE.run(connection, {"cores": cores, **_named(key)}) != 1:
            raise Overdrawn(f"quota of {key.family} in {key.scope}")
    needs = [one.placement.capacity for one in takes]
    cores, mib = sum(need.cores for need in needs), sum(need.memory_mib for need in needs)
    if _OCCUPY.run(connection, {"by": provider, "more": cores, "mib": mib}) != 1:
        raise Overdrawn(f"capacity of {provider}")
    held += [
        _hold(
            one,
            f"capacity:{provider}",
            CAPACITY_FAMILY,
            one.placement.tier,
            one.placement.capacity.cores,
            one.placement.capacity.memory_mib,
        )
        for one in takes
    ]
    _HOLD.run_all(connection, held)
    for one in takes:
        for uuid in sorted(one.placement.capacity.gpus):
            done = connection.execute(
                update(gpus)
                .where(gpus.c.provider == provider, gpus.c.uuid == uuid, gpus.c.job.is_(None))
                .values(job=one.job, attempt=one.attempt)
            )
            if done.rowcount != 1:
                raise Overdrawn(f"GPU {uuid}")


def _hold(one: Take, scope: str, family: str, tier: Tier, amount: int, memory_mib: int = 0) -> dict[str, Any]:
    of = {"job": one.job, "attempt": one.attempt, "scope": scope, "family": family, "tier": tier.value}
    return of | {"amount": amount, "memory_mib": memory_mib}


def give_back(unit: Unit, job: JobId, attempt: int) -> bool:
    """Return all that the attempt holds; False when it held nothing. Repeating it changes nothing."""
    connection, mine = unit.connection, {"who": job, "which": attempt}
    rows = _HELD.all(connection, mine)
    for row in sorted(rows, key=_order):
        if row.scope.startswith("capacity:"):
            provider = row.scope.removeprefix("capacity:")
            _LEAVE.run(connection, {"by": provider, "more": row.amount, "mib": row.memory_mib})
        else:
            key = LedgerKey(row.scope, row.family, Tier(row.tier))
            _GIVE_BACK.run(connection, {"cores": row.amount, **_named(key)})
    _DROP.run(connection, mine)
    _FREE_GPUS.run(connection, mine)
    return bool(rows)


def _order(hold: Row[Any]) -> tuple[bool, LedgerKey]:
    """As `take` goes: quota by key, then capacity. Two units that take and give back would else wait for each other."""
    return hold.scope.startswith("capacity:"), LedgerKey(hold.scope, hold.family, Tier(hold.tier))


def check(connection: Connection) -> list[str]:
    """Every way in which the ledgers disagree with the holds of unreleased attempts; empty when quota is conserved."""
    problems = []
    sums = {
        (row.scope, row.family, row.tier): (int(row.amount or 0), int(row.memory or 0))
        for row in connection.execute(
            select(
                holds.c.scope,
                holds.c.family,
                holds.c.tier,
                func.sum(holds.c.amount).label("amount"),
                func.sum(holds.c.memory_mib).label("memory"),
            ).group_by(holds.c.scope, holds.c.family, holds.c.tier)
        )
    }
    for row in connection.execute(select(ledgers)):
        expected = sums.get((row.scope, row.family, row.tier), (0, 0))[0]
        if row.held != expected:
            problems.append(f"ledger {row.scope} {row.family} {row.tier} holds {row.held}, its attempts {expected}")
    for row in connection.execute(select(capacity)):
        mine = [value for key, value in sums.items() if key[0] == f"capacity:{row.provider}"]
        cores, memory = sum(value[0] for value in mine), sum(value[1] for value in mine)
        if (row.cores_held, row.memory_held) != (cores, memory):
            problems.append(f"capacity {row.provider} holds {row.cores_held} cores, its attempts {cores}")
    dead = connection.execute(
        select(holds.c.job, holds.c.attempt)
        .join(attempts, and_(attempts.c.job == holds.c.job, attempts.c.attempt == holds.c.attempt))
        .where(attempts.c.state == "released")
    )
    problems += [f"attempt {row.attempt} of {row.job} is released and still holds" for row in dead]
    return problems


def holders(connection: Connection, key: LedgerKey) -> int:
    """How many attempts hold something under this key."""
    mine = and_(holds.c.scope == key.scope, holds.c.family == key.family, holds.c.tier == key.tier.value)
    return connection.scalar(select(func.count()).select_from(holds).where(mine)) or 0


def _named(key: LedgerKey) -> dict[str, str]:
    return {"at": key.scope, "of": key.family, "as": key.tier.value}


def _is(key: LedgerKey):
    return and_(ledgers.c.scope == key.scope, ledgers.c.family == key.family, ledgers.c.tier == key.tier.value)
