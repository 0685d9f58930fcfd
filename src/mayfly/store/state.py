"""Where the state of a store lies that is not rows: the folder that its servers share, known by an id that lies in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, select

from mayfly.store import dialect
from mayfly.store.tables import meta, workspaces
from mayfly.store.unit import Unit

_KEY = "state"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    id: str
    path: str
    host: str
    """Whose path it is."""


def whereabouts(connection: Connection) -> Whereabouts | None:
    """None while no server has said so."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _KEY))
    return None if found is None else Whereabouts(**json.loads(found))


def settle(unit: Unit, place: Whereabouts, instead_of: Whereabouts | None = None) -> Whereabouts:
    """Say so, unless another server was first; where it is now."""
    if instead_of is not None and whereabouts(unit.connection) == instead_of:
        forget(unit)
    row = {"key": _KEY, "value": json.dumps(asdict(place))}
    dialect.insert_or_leave(unit.connection, meta, [row])
    found = whereabouts(unit.connection)
    assert found is not None, "it was just said"
    return found


def forget(unit: Unit) -> None:
    """What was restored lies elsewhere."""
    unit.connection.execute(delete(meta).where(meta.c.key == _KEY))


def used(connection: Connection) -> bool:
    """Whether a server has kept anything here."""
    return bool(connection.scalar(select(func.count()).select_from(workspaces)))
