"""Which content the rows need: what garbage collection must leave alone, and what a job's rows give up."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection, String, Text, delete, select

from mayfly.domain.job import JobState
from mayfly.kit.clock import Millis
from mayfly.store import tables
from mayfly.store.unit import Unit

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_WITHOUT = frozenset({"events", "metrics", "labels", "ledgers", "leases", "meta"})
"""History and numbers: a digest in them names nothing that is needed."""
_ENDED = tuple(state.value for state in JobState if state.terminal)


def digests(connection: Connection) -> set[str]:
    """Every digest that stands anywhere in the rows. Read from all columns that could hold one, so that a table made
    later is not forgotten; some of them name no content at all."""
    found: set[str] = set()
    for table in tables.metadata.sorted_tables:
        columns = [column for column in table.columns if _could_hold(column.type)]
        if table.name in _WITHOUT or not columns:
            continue
        for row in connection.execution_options(yield_per=1000).execute(select(*columns)):
            for text in row:
                if text:
                    found.update(_DIGEST.findall(text))
    return found


def ended_before(connection: Connection, moment: Millis) -> list[str]:
    """Ids of the jobs that ended before, and still have outputs or logs."""
    jobs, kept = (
        tables.jobs,
        select(tables.outputs.c.job).union(select(tables.checkpoints.c.job), select(tables.logs.c.job)).subquery(),
    )
    query = (
        select(jobs.c.id)
        .where(jobs.c.state.in_(_ENDED), jobs.c.tidy, jobs.c.ended_at < moment, jobs.c.id.in_(select(kept.c.job)))
        .order_by(jobs.c.sequence)
    )
    return list(connection.scalars(query))


def give_up_outputs(unit: Unit, jobs: Sequence[str]) -> None:
    """Forget what these jobs left. Assets and other jobs that have the same content keep it: it is theirs by its hash."""
    for table in (tables.outputs, tables.checkpoints, tables.placements):
        unit.connection.execute(delete(table).where(table.c.job.in_(jobs)))


def give_up_logs(unit: Unit, jobs: Sequence[str]) -> None:
    unit.connection.execute(delete(tables.logs).where(tables.logs.c.job.in_(jobs)))


def _could_hold(kind: object) -> bool:
    return isinstance(kind, Text) or (isinstance(kind, String) and (kind.length or 64) >= 64)
