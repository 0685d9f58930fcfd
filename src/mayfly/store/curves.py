"""The shape of a metric in few points, by steps through an index: its cost grows with the points shown, not with those
there are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, select, text

from mayfly.store.results import MetricRow, metric_row
from mayfly.store.tables import metrics

_SEEK = """
WITH RECURSIVE marks(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM marks WHERE i < :gaps - 1)
SELECT (
    SELECT m.sequence FROM metrics m WHERE m.job = :job AND m.key = :key AND {there}
    ORDER BY m.step, m.timestamp, m.value LIMIT 1
) AS sequence
FROM (SELECT :low + :part * i + :rest * i / :gaps AS mark FROM marks) places
"""
_WIDE = [bindparam(name, type_=BigInteger) for name in ("low", "part", "rest", "gaps")]
_BY_STEP = text(_SEEK.format(there="m.step >= places.mark")).bindparams(*_WIDE)
_BY_TIME = text(_SEEK.format(there="m.step = :step AND m.timestamp >= places.mark")).bindparams(
    *_WIDE, bindparam("step", type_=BigInteger)
)


def curve_of(
    connection: Connection, job: str, key: str, most: int, between: tuple[int, int] | None = None
) -> list[MetricRow]:
    """By step and time: all points where there are no more than `most`, else as many at about even distances of step
    (of time, where all have one step), the first and the last among them. Of one, the last."""
    there = [metrics.c.job == job, metrics.c.key == key]
    if between is not None:
        there += [metrics.c.step >= between[0], metrics.c.step <= between[1]]
    order = (metrics.c.step, metrics.c.timestamp, metrics.c.value)
    found = connection.execute(select(metrics).where(*there).order_by(*order).limit(most + 1)).all()
    if len(found) <= most:
        return [metric_row(row) for row in found]
    backwards = [column.desc() for column in order]
    first, last = found[0], connection.execute(select(metrics).where(*there).order_by(*backwards).limit(1)).one()
    if most == 1:
        return [metric_row(last)]
    by_time = first.step == last.step
    low, high = (first.timestamp, last.timestamp) if by_time else (first.step, last.step)
    part, rest = divmod(high - low, most - 1)
    given: dict[str, Any] = {"job": job, "key": key, "low": low, "part": part, "rest": rest, "gaps": most - 1}
    seek = (
        connection.execute(_BY_TIME, given | {"step": first.step}) if by_time else connection.execute(_BY_STEP, given)
    )
    chosen = {last.sequence, *seek.scalars()}
    picked = connection.execute(select(metrics).where(metrics.c.sequence.in_(chosen)).order_by(*order))
    return [metric_row(row) for row in picked]
