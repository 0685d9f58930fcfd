"""Who does a duty now. The one place that owns the claim; two servers never hold the same lease."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, or_, select, update

from mayfly.kit.clock import Millis
from mayfly.store import dialect
from mayfly.store.tables import leases
from mayfly.store.unit import Unit


def claim(unit: Unit, name: str, holder: str, length: Millis, now: Millis | None = None) -> bool:
    """Take or renew the lease for `length`; False while another holder's runs. `now` None: by the database's own clock,
    the one that all servers share."""
    moment = dialect.clock(unit.connection) if now is None else now
    dialect.insert_or_leave(unit.connection, leases, [{"name": name, "holder": holder, "until": 0}])
    taken = unit.connection.execute(
        update(leases)
        .where(leases.c.name == name, or_(leases.c.holder == holder, leases.c.until < moment))
        .values(holder=holder, until=moment + length)
    )
    return taken.rowcount == 1


def renew(unit: Unit, names: Collection[str], holder: str, length: Millis) -> set[str]:
    """As `claim`, of all that are still this holder's: those."""
    mine = (leases.c.name.in_(names), leases.c.holder == holder)
    until = dialect.clock(unit.connection) + length
    unit.connection.execute(update(leases).where(*mine).values(until=until))
    return set(unit.connection.scalars(select(leases.c.name).where(*mine)))


def holder_of(unit: Unit, name: str) -> str | None:
    return unit.connection.scalar(select(leases.c.holder).where(leases.c.name == name))


def release(unit: Unit, name: str, holder: str) -> None:
    """Give it up before its time, if it is still this holder's."""
    unit.connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def vacate(unit: Unit, holder: str) -> None:
    """Give up all that it holds: it has ended."""
    unit.connection.execute(delete(leases).where(leases.c.holder == holder))
