"""After a job's end: its logs sealed on the disk, its MLflow run closed with our status."""

from __future__ import annotations

import structlog

from mayfly.kit.errors import Unavailable
from mayfly.kit.ids import JobId
from mayfly.services import models
from mayfly.services.attempts import speaker
from mayfly.services.feeding import Feeder
from mayfly.services.world import World
from mayfly.store import children as children_rows
from mayfly.store import jobs
from mayfly.store import logs as log_rows
from mayfly.store.jobs import JobRow

AT_ONCE = 200
LATE_S = 5.0

log = structlog.get_logger()


class Ending:
    """Tidies each ended job once; what a crash cut off is done after the next start."""

    def __init__(self, world: World, tracking: Feeder) -> None:
        self._world = world
        self._tracking = tracking

    def work(self) -> float | None:
        """A job that cannot be followed up, for whatever reason, keeps no other waiting."""
        untidy = self._world.store.read(lambda connection: jobs.untidy(connection, AT_ONCE))
        late = False
        done: list[JobId] = []
        for row in untidy:
            try:
                if self._followed_up(row):
                    done.append(row.job.id)
            except Unavailable:
                late = True
            except Exception:
                log.exception("job not followed up", job=row.job.id)
                late = True
        if done:
            self._world.store.write(lambda unit: jobs.set_tidy(unit, done))
        if done and len(untidy) == AT_ONCE:
            return 0.0
        return LATE_S if late else None

    def _followed_up(self, row: JobRow) -> bool:
        """False while the duty that feeds MLflow has something of it to tell; that one wakes us. Repeatable. Raises Unavailable."""
        for written in self._world.store.read(lambda connection: log_rows.of(connection, row.job.id)):
            self._world.logs.seal(written.job, written.attempt, written.rank, written.file)
        if any(self._tracking.behind(job) for job in self._told_of(row)):
            return False
        self._finish(row)
        return True

    def _told_of(self, row: JobRow) -> list[JobId]:
        """Jobs whose last words may yet make its run: its own, and its steps'."""
        below = self._world.store.read(lambda c: children_rows.of(c, row.job.id)) if row.job.composite else []
        return [row.job.id, *(one.id for one in below)]

    def _finish(self, row: JobRow) -> None:
        attempt = speaker(self._world, row.job.id)
        if attempt is not None:
            self._tracking.finish(attempt, row.job.state, row.job.ended_at or self._world.clock.now())
            models.adopt_all(self._world, attempt)
