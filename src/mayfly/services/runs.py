"""The runs behind ids: Mayfly's id for a job's own run, MLflow's for all others, and the rows that know both."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mayfly.domain.tracking import PARENT_TAG, TrackedRun
from mayfly.kit.clock import Clock
from mayfly.kit.errors import Broken
from mayfly.kit.ids import JobId, RunId
from mayfly.ports.tracking import TrackingRows
from mayfly.services.mlflow import FIRST, Mlflow

_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """Who speaks: the caller has checked the attempt's token and fence already."""

    job: JobId
    attempt: int
    run: RunId
    """Mayfly's run id, given to the job as MLFLOW_RUN_ID."""
    experiment: str
    name: str
    """The job's name, which becomes the run's."""
    submitter: str
    workspace: str = FIRST
    """The MLflow workspace that stands behind the job's."""
    parent: AttemptContext | None = None
    """Of a step: its pipeline, whose run its own stands below."""


class Runs:
    """Safe for many threads and servers."""

    def __init__(self, mlflow: Mlflow, rows: TrackingRows, clock: Clock) -> None:
        self._mlflow = mlflow
        self._rows = rows
        self._clock = clock
        self._runs: dict[str, TrackedRun] = {}
        self._experiments: dict[tuple[str, str], str] = {}
        self._naming = threading.Lock()

    def known(self, ids: Iterable[str], own: TrackedRun | None = None) -> dict[str, TrackedRun]:
        """The runs behind these ids, ours or MLflow's, by the id given."""
        runs = {one: self._runs[one] for one in ids if one in self._runs}
        if own is not None:
            runs |= {one: own for one in ids if one in (own.run, own.mlflow_run)}
        unknown = [one for one in ids if one not in runs]
        if unknown:
            for run in self._rows.find(unknown):
                self.remember(run)
                runs |= {one: run for one in (run.run, run.mlflow_run) if one in unknown}
        return runs

    def remember(self, run: TrackedRun) -> None:
        if len(self._runs) > _REMEMBERED:
            self._runs.clear()
        self._runs[run.run] = self._runs[run.mlflow_run] = run

    def own(self, attempt: AttemptContext) -> TrackedRun:
        """The job's run, made on first use. A crash between MLflow and our row is healed: it is found by its tag."""
        run = self._runs.get(attempt.run)
        if run is not None:
            return run
        above = None if attempt.parent is None else self.own(attempt.parent).mlflow_run
        with self._rows.turn("run", attempt.run):
            known = self.known([attempt.run]).get(attempt.run)
            if known is not None:
                return known
            mlflow_run = self._make_run(attempt, above)
            run = self._rows.bind(TrackedRun(attempt.run, mlflow_run, attempt.job))
            self.remember(run)
            return run

    def _make_run(self, attempt: AttemptContext, above: str | None) -> str:
        experiment = self._experiment(attempt.workspace, attempt.experiment)
        wanted = f"tags.`mayfly.run` = '{attempt.run}'"
        search = {"experiment_ids": [experiment], "filter": wanted, "max_results": 1, "run_view_type": "ALL"}
        for found in self._mlflow.ask(attempt.workspace, "POST", "runs/search", search).get("runs", ()):
            return run_id({"run": found})
        tags = {
            "mayfly.run": attempt.run,
            "mayfly.job": attempt.name,
            "mlflow.user": attempt.submitter,
            "mlflow.runName": attempt.name,
            "mlflow.source.name": attempt.name,
            "mlflow.source.type": "JOB",
            **({} if above is None else {PARENT_TAG: above}),
        }
        create = {
            "experiment_id": experiment,
            "run_name": attempt.name,
            "user_id": attempt.submitter,
            "start_time": int(self._clock.now()),
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        return run_id(self._mlflow.ask(attempt.workspace, "POST", "runs/create", create))

    def _experiment(self, workspace: str, name: str) -> str:
        with self._naming:
            known = self._experiments.get((workspace, name))
            if known is None:
                known = self._experiment_by_name(workspace, name)
                if known is None:
                    self._mlflow.ask(workspace, "POST", "experiments/create", {"name": name})
                    known = self._experiment_by_name(workspace, name)
                if known is None:
                    raise Broken("TrackingBroken", f"MLflow neither has nor makes the experiment '{name}'.")
                self._experiments[workspace, name] = known
            return known

    def _experiment_by_name(self, workspace: str, name: str) -> str | None:
        found = self._mlflow.ask(workspace, "GET", "experiments/get-by-name", {"experiment_name": name}).get(
            "experiment"
        )
        if not found:
            return None
        if found.get("lifecycle_stage") == "deleted":
            self._mlflow.ask(workspace, "POST", "experiments/restore", {"experiment_id": found["experiment_id"]})
        return str(found["experiment_id"])


def run_id(answer: Mapping[str, Any]) -> str:
    """Raises Broken `TrackingBroken` when the answer names no run."""
    run = str(answer.get("run", {}).get("info", {}).get("run_id", ""))
    if not run:
        raise Broken("TrackingBroken", "MLflow's answer names no run.")
    return run
