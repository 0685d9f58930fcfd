"""After a job's end: its logs sealed on the disk, its MLflow run closed with our status."""

from __future__ import annotations

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


class Ending:
    """Tidies each ended job once; what a crash cut off is done after the next start."""

    def __init__(self, world: World, tracking: Feeder) -> None:
        self._world = world
        self._tracking = tracking

    def work(self) -> float | None:
        untidy = self._world.store.read(jobs.untidy)
        late = False
        done: list[JobId] = []
        for row in untidy:
            for log in self._world.store.read(lambda connection, row=row: log_rows.of(connection, row.job.id)):
                self._world.logs.seal(log.job, log.attempt, log.rank, log.file)
            if any(self._tracking.behind(job) for job in self._told_of(row)):
                continue  # the duty that feeds MLflow wakes us when it has told all
            try:
                self._finish(row)
            except Unavailable:
                late = True
                continue
            done.append(row.job.id)
        if done:
            self._world.store.write(lambda unit: jobs.set_tidy(unit, done))
        return 5.0 if late else None

    def _told_of(self, row: JobRow) -> list[JobId]:
        """Jobs whose last words may yet make its run: its own, and its steps'."""
        below = self._world.store.read(lambda c: children_rows.of(c, row.job.id)) if row.job.composite else []
        return [row.job.id, *(one.id for one in below)]

    def _finish(self, row: JobRow) -> None:
        attempt = speaker(self._world, row.job.id)
        if attempt is not None:
            self._tracking.finish(attempt, row.job.state, row.job.ended_at or self._world.clock.now())
            models.adopt_all(self._world, attempt)
