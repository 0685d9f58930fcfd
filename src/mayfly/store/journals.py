"""What came of the journals of the nodes: how far each is kept, and what MLflow has still to be told, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select

from mayfly.store import dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import feed, journals
from mayfly.store.unit import Unit

_POSITION = Statement(
    select(journals.c.position).where(
        journals.c.job == bindparam("of"), journals.c.attempt == bindparam("at"), journals.c.rank == bindparam("which")
    )
)
_FEED = Statement(
    select(feed.c.sequence, feed.c.body)
    .where(feed.c.job == bindparam("of"))
    .order_by(feed.c.sequence)
    .limit(bindparam("most", type_=Integer))
)
_ADD = Statement(insert(feed))


@dataclass(frozen=True, slots=True)
class FeedRow:
    """A piece of a journal: whole lines."""

    sequence: int
    body: str


def position(connection: Connection, job: str, attempt: int, rank: int) -> int:
    """Bytes of this journal that are kept."""
    return _POSITION.value(connection, {"of": job, "at": attempt, "which": rank}) or 0


def advance(unit: Unit, job: str, attempt: int, rank: int, to: int) -> None:
    row = {"job": job, "attempt": attempt, "rank": rank, "position": to}
    dialect.insert_or_replace(unit.connection, journals, row, ["job", "attempt", "rank"])


def add_feed(unit: Unit, job: str, body: str) -> None:
    _ADD.run(unit.connection, {"job": job, "body": body})


def feed_of(connection: Connection, job: str, most: int) -> list[FeedRow]:
    """The oldest first."""
    return [FeedRow(row.sequence, row.body) for row in _FEED.all(connection, {"of": job, "most": most})]


def fed(unit: Unit, sequences: Sequence[int]) -> None:
    unit.connection.execute(delete(feed).where(feed.c.sequence.in_(sequences)))


def waiting(connection: Connection) -> list[str]:
    """The jobs of which MLflow has something to hear, those that wait longest first."""
    rows = connection.execute(select(feed.c.job).group_by(feed.c.job).order_by(func.min(feed.c.sequence)))
    return list(rows.scalars())
