"""Who does a duty now. The one place that owns the claim; two servers never hold the same lease."""

from __future__ import annotations

from sqlalchemy import or_, select, update

from mayfly.kit.clock import Millis
from mayfly.store import dialect
from mayfly.store.tables import leases
from mayfly.store.unit import Unit


def claim(unit: Unit, name: str, holder: str, now: Millis, length: Millis) -> bool:
    """Take or renew the lease for `length`; False while another holder's runs."""
    dialect.insert_or_leave(unit.connection, leases, [{"name": name, "holder": holder, "until": 0}])
    taken = unit.connection.execute(
        update(leases)
        .where(leases.c.name == name, or_(leases.c.holder == holder, leases.c.until < now))
        .values(holder=holder, until=now + length)
    )
    return taken.rowcount == 1


def holder_of(unit: Unit, name: str) -> str | None:
    return unit.connection.scalar(select(leases.c.holder).where(leases.c.name == name))
