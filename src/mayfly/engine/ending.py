"""After a job's end: its logs sealed on the disk, its MLflow run closed with our status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from mayfly.kit.errors import Unavailable
from mayfly.kit.ids import JobId
from mayfly.services import models
from mayfly.services.attempts import speaker
from mayfly.services.feeding import Feeder
from mayfly.services.world import World
from mayfly.store import children as children_rows
from mayfly.store import jobs, tracking
from mayfly.store import logs as log_rows
from mayfly.store.jobs import JobRow
from mayfly.store.logs import LogRow

AT_ONCE = 200
LATE_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _End:
    """An ended job that has not been followed up."""

    row: JobRow
    logs: Sequence[LogRow]
    silent: bool
    """It has tracked nothing, so MLflow need not be asked."""


def _ends(connection: Connection) -> list[_End]:
    """Some of them. All that a job tracked had arrived before its end."""
    return [
        _End(
            row,
            log_rows.of(connection, row.job.id),
            not row.job.composite and not tracking.anything_of(connection, row.job.id),
        )
        for row in jobs.untidy(connection, AT_ONCE)
    ]


class Ending:
    """Tidies each ended job once; what a crash cut off is done after the next start."""

    def __init__(self, world: World, tracking: Feeder) -> None:
        self._world = world
        self._tracking = tracking

    def work(self) -> float | None:
        """A job that cannot be followed up, for whatever reason, keeps no other waiting."""
        ends = self._world.store.read(_ends)
        late = False
        done: list[JobId] = []
        for end in ends:
            try:
                if self._followed_up(end):
                    done.append(end.row.job.id)
            except Unavailable:
                late = True
            except Exception:
                log.exception("job not followed up", job=end.row.job.id)
                late = True
        if done:
            self._world.store.write(lambda unit: jobs.set_tidy(unit, done), patient=True)
        if done and len(ends) == AT_ONCE:
            return 0.0
        return LATE_S if late else None

    def _followed_up(self, end: _End) -> bool:
        """False while the duty that feeds MLflow has something of it to tell; that one wakes us. Repeatable. Raises Unavailable."""
        for written in end.logs:
            self._world.logs.seal(written.job, written.attempt, written.rank, written.file)
        if end.silent:
            return True
        if any(self._tracking.behind(job) for job in self._told_of(end.row)):
            return False
        self._finish(end.row)
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
