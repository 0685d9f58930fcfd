"""What jobs wrote, on its way from our rows to the real MLflow: in order, in few requests, and once more after a crash,
which changes nothing there (a point, a param or a tag that MLflow has already is the same one)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import structlog

from mayfly.domain import tracking
from mayfly.domain.job import JobState
from mayfly.domain.tracking import RunRole, TrackedRun
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId
from mayfly.ports.tracking import FeedPiece, TrackingRows
from mayfly.services.mlflow import Mlflow
from mayfly.services.runs import AttemptContext, Runs
from mayfly.wire import journal
from mayfly.wire.journal import Entry, Order

PIECES = 32
"""Told at once, at most; a piece is what one delivery of a journal brought."""
_SOON = 4
"""As many are told in two or three seconds, at MLflow's pace of some 6,000 points a second."""

log = structlog.get_logger()


class Feeder:
    """Safe for many threads and servers: whoever comes first feeds a job, the others wait for it."""

    def __init__(
        self, mlflow: Mlflow, rows: TrackingRows, runs: Runs, speaker: Callable[[JobId], AttemptContext | None]
    ) -> None:
        """`speaker` tells who a job is, ended or not."""
        self._mlflow = mlflow
        self._rows = rows
        self._runs = runs
        self._speaker = speaker

    def work(self) -> float | None:
        """Feed all that waits. Raises Unavailable `TrackingUnavailable`."""
        for job in self._rows.waiting():
            attempt = self._speaker(job)
            if attempt is not None:
                self.feed(attempt)
        return None

    def feed(self, attempt: AttemptContext) -> None:
        """When it returns, MLflow knows all that the job's journals had brought before the call. Raises Unavailable
        `TrackingUnavailable`."""
        if not self._rows.feed(attempt.job, 1):
            return
        with self._rows.turn("feed", attempt.job):
            while pieces := self._rows.feed(attempt.job, PIECES):
                for order in journal.orders(_entries(pieces)):
                    self._tell(attempt, order)
                self._rows.fed(pieces)

    def catch_up(self, attempt: AttemptContext) -> None:
        """As `feed`, but not where that would take long; `work` does it in its time."""
        if len(self._rows.feed(attempt.job, _SOON + 1)) <= _SOON:
            self.feed(attempt)

    def behind(self, job: JobId) -> bool:
        """Whether MLflow has still to hear something of it."""
        return bool(self._rows.feed(job, 1))

    def finish(self, attempt: AttemptContext, state: JobState, ended_at: Millis) -> None:
        """Give the job's MLflow run its final status, whatever the script left behind; runs that the job nested and
        left open get the same. Comes after all that the job wrote. Does nothing, and starts nothing, for a job that
        never tracked. Repeatable. Raises Unavailable `TrackingUnavailable`: call again later."""
        self.feed(attempt)
        status = tracking.MLFLOW_STATUS[state]
        for run in self._rows.runs_of(attempt.job):
            if run.role is not RunRole.JOB:
                found = self._mlflow.ask(attempt.workspace, "GET", "runs/get", {"run_id": run.mlflow_run})
                if found.get("run", {}).get("info", {}).get("status") not in ("RUNNING", "SCHEDULED"):
                    continue
            update = {"run_id": run.mlflow_run, "status": status, "end_time": int(ended_at)}
            self._mlflow.ask(attempt.workspace, "POST", "runs/update", update)

    def _tell(self, attempt: AttemptContext, order: Order) -> None:
        run = self._run(attempt, order.run)
        if order.update:
            refusal, _ = self._mlflow.tell(
                attempt.workspace, "POST", "runs/update", {"run_id": run.mlflow_run, **order.update}
            )
        else:
            refusal, _ = self._mlflow.tell(attempt.workspace, "POST", "runs/log-batch", _batch(run, order))
        if not refusal:
            return
        if order.size > 1:  # the others are not to suffer for the one
            for half in order.halves():
                self._tell(attempt, half)
            return
        log.warning("MLflow refused what the node had accepted", job=attempt.name, run=order.run, words=refusal)

    def _run(self, attempt: AttemptContext, run: str) -> TrackedRun:
        if run == attempt.run:
            return self._runs.own(attempt)
        return self._runs.known([run]).get(run) or TrackedRun(run, run, attempt.job, RunRole.CHILD)


def _entries(pieces: Iterable[FeedPiece]) -> Iterable[Entry]:
    for piece in pieces:
        for line in piece.body.splitlines():
            yield msgspec.json.decode(line, type=Entry)


def _batch(run: TrackedRun, order: Order) -> dict[str, object]:
    return {
        "run_id": run.mlflow_run,
        "metrics": [
            {"key": key, "value": value, "timestamp": timestamp, "step": step}
            for key, value, timestamp, step in order.metrics
        ],
        "params": [{"key": key, "value": value} for key, value in order.params.items()],
        "tags": [{"key": key, "value": value} for key, value in order.tags.items()],
    }
