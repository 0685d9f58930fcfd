"""The history: one row for every change of state, in the transaction that made the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, insert, select

from mayfly.kit.clock import Millis
from mayfly.store import codec
from mayfly.store.statements import Statement
from mayfly.store.tables import events
from mayfly.store.unit import Unit

_APPEND = Statement(insert(events))
_OF = Statement(
    select(events.c.sequence, events.c.type, events.c.at, events.c.data)
    .where(events.c.thing == bindparam("of"))
    .order_by(events.c.sequence)
    .limit(bindparam("most", type_=Integer))
)


@dataclass(frozen=True, slots=True)
class Event:
    sequence: int
    type: str
    at: Millis
    data: Mapping[str, Any]


def append(
    unit: Unit,
    thing: str,
    type_: str,
    at: Millis,
    data: Mapping[str, Any] | None = None,
    *,
    workspace: str | None = None,
) -> None:
    append_all(unit, [values_of(thing, type_, at, data, workspace)])


def append_all(unit: Unit, rows: Sequence[dict[str, Any]]) -> None:
    """In their order, at the unit's end; each as `values_of` makes it."""
    unit.at_end(_APPEND.run_all, rows)


def values_of(
    thing: str, type_: str, at: Millis, data: Mapping[str, Any] | None = None, workspace: str | None = None
) -> dict[str, Any]:
    return {
        "workspace": workspace,
        "thing": thing,
        "type": type_,
        "version": 1,
        "at": at,
        "data": codec.dump(dict(data or {})),
    }


def of(connection: Connection, thing: str, most: int = 500) -> list[Event]:
    """The events of one thing, oldest first."""
    rows = _OF.all(connection, {"of": thing, "most": most})
    return [Event(row.sequence, row.type, Millis(row.at), codec.load(row.data)) for row in rows]
