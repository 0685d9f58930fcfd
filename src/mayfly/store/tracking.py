"""Our rows about runs, as `ports.tracking.TrackingRows` promises them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from mayfly.domain.tracking import MetricValue, Tracked, TrackedRun
from mayfly.kit.ids import JobId
from mayfly.ports.tracking import FeedPiece
from mayfly.store import curves, jobs, journals, results
from mayfly.store.results import MetricRow
from mayfly.store.turns import Turns
from mayfly.store.unit import Store, Unit


def anything_of(connection: Connection, job: str) -> bool:
    """Whether MLflow knows a run of the job, or has still to hear of one."""
    return bool(results.runs_of(connection, job) or journals.feed_of(connection, job, 1))


class StoredTracking:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = defaultdict[str, Turns](lambda: Turns(store))

    def bind(self, run: TrackedRun) -> TrackedRun:
        return self._store.write(lambda unit: results.bind_run(unit, run))

    def find(self, ids: Sequence[str]) -> Sequence[TrackedRun]:
        return self._store.read(lambda connection: results.find_runs(connection, ids))

    def runs_of(self, job: JobId) -> Sequence[TrackedRun]:
        return self._store.read(lambda connection: results.runs_of(connection, job))

    def record(self, job: JobId, attempt: int, tracked: Tracked) -> None:
        def keep(unit: Unit) -> None:
            row = jobs.by_id(unit.connection, job)
            if row is None or row.job.attempt != attempt or row.job.state.terminal:
                return
            points = [MetricRow(one.key, one.value, one.step, one.timestamp) for one in tracked.metrics]
            results.add_metrics(unit, job, attempt, points)
            results.set_labels(unit, job, "param", tracked.params)
            results.set_labels(unit, job, "tag", tracked.tags)

        self._store.write(keep)

    def history(self, job: JobId, key: str, after: int, most: int) -> Sequence[tuple[int, MetricValue]]:
        found = self._store.read(lambda connection: results.metrics_of(connection, job, after, most, key))
        return [(row.sequence, _value(row)) for row in found]

    def curve(self, job: JobId, key: str, most: int, between: tuple[int, int] | None) -> Sequence[MetricValue]:
        found = self._store.read(lambda connection: curves.curve_of(connection, job, key, most, between))
        return [_value(row) for row in found]

    def feed(self, job: JobId, most: int) -> Sequence[FeedPiece]:
        rows = self._store.read(lambda connection: journals.feed_of(connection, job, most))
        return [FeedPiece(row.sequence, row.body) for row in rows]

    def fed(self, pieces: Sequence[FeedPiece]) -> None:
        def keep(unit: Unit) -> None:
            journals.fed(unit, [piece.sequence for piece in pieces])
            unit.passing("tracking fed")
            unit.wake("ended")

        self._store.write(keep)

    def waiting(self) -> Sequence[JobId]:
        return [JobId(job) for job in self._store.read(journals.waiting)]

    def turn(self, kind: str, name: str) -> AbstractContextManager[None]:
        return self._turns[kind].take(f"{kind}:{name}")


def _value(row: MetricRow) -> MetricValue:
    return MetricValue(row.key, row.value, row.step, row.timestamp)
