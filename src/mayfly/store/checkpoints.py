"""What running attempts have in their outputs: only the newest of each attempt and rank is kept."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from mayfly.store.results import OutputRow
from mayfly.store.statements import Statement
from mayfly.store.tables import checkpoints
from mayfly.store.unit import Unit

_UP_TO = Statement(
    select(checkpoints)
    .where(checkpoints.c.job == bindparam("of"), checkpoints.c.attempt <= bindparam("most"))
    .order_by(checkpoints.c.attempt.desc(), checkpoints.c.name, checkpoints.c.rank)
)
_FORGET = Statement(
    delete(checkpoints).where(checkpoints.c.job == bindparam("of"), checkpoints.c.rank == bindparam("which"))
)


def keep(unit: Unit, job: str, attempt: int, rank: int, rows: Sequence[OutputRow]) -> None:
    """The rank's checkpoint, whole, in place of the one before."""
    mine = (checkpoints.c.job == job, checkpoints.c.attempt == attempt, checkpoints.c.rank == rank)
    unit.connection.execute(delete(checkpoints).where(*mine))
    values = [
        {"job": job, "attempt": attempt, "rank": rank, "name": row.name}
        | {"tree": row.tree, "files": row.files, "bytes": row.bytes}
        for row in rows
    ]
    if values:
        unit.connection.execute(insert(checkpoints), values)


def newest(connection: Connection, job: str, most: int) -> list[OutputRow]:
    """Each rank's, of its newest attempt that made one, up to attempt `most`."""
    rows = _UP_TO.all(connection, {"of": job, "most": most})
    last = {row.rank: row.attempt for row in reversed(rows)}
    found = [row for row in rows if row.attempt == last[row.rank]]
    return [OutputRow(row.rank, row.name, row.tree, row.files, row.bytes) for row in found]


def forget(unit: Unit, job: str, rank: int) -> None:
    """Its outputs have been collected."""
    _FORGET.run(unit.connection, {"of": job, "which": rank})
