"""Our rows about runs, as `ports.tracking.TrackingRows` promises them."""

from __future__ import annotations

from collections.abc import Sequence

from mayfly.domain.tracking import Tracked, TrackedRun
from mayfly.kit.ids import JobId
from mayfly.store import jobs, results
from mayfly.store.results import MetricRow
from mayfly.store.unit import Store, Unit


class StoredTracking:
    def __init__(self, store: Store) -> None:
        self._store = store

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
            points = [MetricRow(one.key[:255], one.value, one.step, one.timestamp) for one in tracked.metrics]
            fresh = [one for one in points if not results.has_point(unit.connection, job, one)]
            results.add_metrics(unit, job, attempt, fresh)
            results.set_labels(unit, job, "param", tracked.params)
            results.set_labels(unit, job, "tag", tracked.tags)

        self._store.write(keep)
