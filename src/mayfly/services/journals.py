"""Journals of tracking calls, as the nodes ship them: each byte is published once, under its attempt's fence."""

from __future__ import annotations

import msgspec

from mayfly.domain.fence import holds
from mayfly.domain.tracking import RunRole
from mayfly.kit.errors import Forbidden, Invalid
from mayfly.services.world import World
from mayfly.store import attempts, jobs, journals, results
from mayfly.store.jobs import JobRow
from mayfly.store.results import MetricRow
from mayfly.store.unit import Unit
from mayfly.wire.journal import Entry


def append(world: World, node: str, job: str, attempt: int, rank: int, offset: int, data: bytes) -> int:
    """Publish a piece of a journal, whole lines of it; the number of bytes that are kept now. What is kept already is
    not published again, and a gap is refused by answering the old number. An attempt that lost its fence publishes
    nothing, and is told that all is well: nobody waits for it. Raises Forbidden `RankOfAnother`, Invalid
    `JournalInvalid`."""

    def keep(unit: Unit) -> int:
        row = jobs.lock(unit, job)
        ranks = attempts.ranks_of(unit.connection, job, attempt)
        if row is None or not any(one.rank == rank and one.node == node for one in ranks):
            raise Forbidden("RankOfAnother", "This node does not work for that attempt.")
        have = journals.position(unit.connection, job, attempt, rank)
        if offset > have or offset + len(data) <= have:
            return have
        fresh = data[have - offset :]
        kept = attempts.get(unit.connection, job, attempt)
        if kept is not None and holds(row.job, attempt, kept.epoch, present=world.epoch):
            _publish(unit, row, fresh)
        journals.advance(unit, job, attempt, rank, have + len(fresh))
        unit.passing("tracking kept")
        return have + len(fresh)

    return world.store.write(keep)


def _publish(unit: Unit, row: JobRow, data: bytes) -> None:
    text, entries = _entries(data)
    others = {entry.run for entry in entries} - {row.run}
    roles = {run.run: run.role for run in results.find_runs(unit.connection, sorted(others)) if run.job == row.job.id}
    roles[row.run] = RunRole.JOB
    told = [entry for entry in entries if roles.get(entry.run) in (RunRole.JOB, RunRole.STRAY)]
    points = [
        MetricRow(key, float(value), step, timestamp) for entry in told for key, value, timestamp, step in entry.metrics
    ]
    results.add_metrics(unit, row.job.id, row.job.attempt, points)
    for kind in ("param", "tag"):
        values: dict[str, str] = {}
        for entry in told:
            if entry.run == row.run:
                values |= entry.params if kind == "param" else entry.tags
        shown = {key: value for key, value in values.items() if not key.startswith("mlflow.")}
        results.set_labels(unit, row.job.id, kind, shown)
    journals.add_feed(unit, row.job.id, text)
    unit.wake("tracking")


def _entries(data: bytes) -> tuple[str, list[Entry]]:
    try:
        if not data.endswith(b"\n"):
            raise ValueError("it does not end with a line")
        return data.decode(), [msgspec.json.decode(line, type=Entry) for line in data.splitlines()]
    except (msgspec.MsgspecError, ValueError) as error:
        raise Invalid("JournalInvalid", f"This is no piece of a journal: {error}.") from error
