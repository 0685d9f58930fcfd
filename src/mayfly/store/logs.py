"""What the server has of each log file: sizes in rows, bytes in the log folder (`ports.logs`)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from mayfly.store import dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import logs
from mayfly.store.unit import Unit

_ORDER = (logs.c.attempt, logs.c.rank, logs.c.file)
_OF = Statement(select(logs).where(logs.c.job == bindparam("of")).order_by(*_ORDER))
_SEAL = Statement(
    update(logs)
    .where(
        logs.c.job == bindparam("of"),
        logs.c.attempt == bindparam("at"),
        logs.c.rank == bindparam("which"),
        logs.c.file == bindparam("called"),
    )
    .values(size=bindparam("size"), sealed=True)
)


@dataclass(frozen=True, slots=True)
class LogRow:
    job: str
    attempt: int
    rank: int
    node: str
    file: str
    size: int
    sealed: bool


def ensure(unit: Unit, row: LogRow) -> None:
    dialect.insert_or_leave(
        unit.connection,
        logs,
        [
            {
                "job": row.job,
                "attempt": row.attempt,
                "rank": row.rank,
                "node": row.node,
                "file": row.file,
                "size": row.size,
                "sealed": row.sealed,
            }
        ],
    )


def seal(unit: Unit, job: str, attempt: int, rank: int, sizes: dict[str, int], node: str) -> None:
    """The files are complete with these sizes."""
    for file, size in sizes.items():
        ensure(unit, LogRow(job, attempt, rank, node, file, size, True))
        which = {"of": job, "at": attempt, "which": rank, "called": file}
        _SEAL.run(unit.connection, {**which, "size": size})


def of(connection: Connection, job: str, attempt: int | None = None) -> list[LogRow]:
    return [
        LogRow(row.job, row.attempt, row.rank, row.node, row.file, row.size, row.sealed)
        for row in _OF.all(connection, {"of": job})
        if attempt is None or row.attempt == attempt
    ]


def every(connection: Connection) -> list[tuple[str, int, int, str]]:
    """(job, attempt, rank, file) of all there are."""
    found = connection.execute(select(logs.c.job, logs.c.attempt, logs.c.rank, logs.c.file).distinct())
    return [(row.job, row.attempt, row.rank, row.file) for row in found]
