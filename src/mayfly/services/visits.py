"""MLflow for a person's own script: what the jobs of a workspace logged is read, by a run's id or by its job's name, and runs
that are no job's are made and written. What a job's run says is the job's alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mayfly.domain import tracking
from mayfly.domain.tracking import TrackedRun
from mayfly.kit.errors import Forbidden, Invalid, NotFound
from mayfly.kit.ids import WorkspaceId
from mayfly.ports.tracking import Response, TrackingRows
from mayfly.services import histories, offers, places
from mayfly.services.attempts import speaker
from mayfly.services.feeding import Feeder
from mayfly.services.offers import Offers
from mayfly.services.places import Place, tracking_name
from mayfly.services.relaying import (
    alone,
    answered_headers,
    kept_headers,
    mapped,
    payload_of,
    refusal_of,
    theirs,
    whole,
)
from mayfly.services.runs import Runs
from mayfly.services.world import World
from mayfly.store import jobs

_RUN = ("run_id", "run_uuid")


class Visits:
    """Safe for many threads. As `TrackingDoor`, it may wait until MLflow has started."""

    def __init__(self, world: World, rows: TrackingRows, runs: Runs, feeder: Feeder, registry: Offers) -> None:
        self._world = world
        self._rows = rows
        self._runs = runs
        self._feeder = feeder
        self._registry = registry

    def forward(
        self,
        place: Place,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        body: Iterable[bytes],
    ) -> Response:
        """`path` starts with /api/. What may not be done is answered in MLflow's own words. Raises Unavailable
        `TrackingUnavailable`, and NotFound `WorkspaceNotFound`."""
        workspace = places.create(self._world, place)[0]
        space = tracking_name(workspace)
        path = quote(unquote(path), safe="/:@!$&'()*+,;=~-._")
        try:
            asked = tracking.route(method, path)
            query = self._by_name(workspace.id, query)
            if asked.opaque:
                return self._file(workspace.id, space, asked, method, path, headers, body)
            return self._call(workspace.id, space, asked, method, path, query, headers, whole(body))
        except (Forbidden, NotFound, Invalid) as refusal:
            return refusal_of(refusal)

    def _by_name(self, workspace: WorkspaceId, query: str) -> str:
        """The query, with the id of its run where it names a job."""
        pairs = []
        for key, value in parse_qsl(query, keep_blank_values=True):
            named = key in _RUN and not tracking.ids_in(value.encode())
            row = self._world.store.read(lambda c, name=value: jobs.by_name(c, workspace, name)) if named else None
            pairs.append((key, value if row is None else row.run))
        return urlencode(pairs, safe="/")

    def _file(
        self,
        workspace: WorkspaceId,
        space: str,
        asked: tracking.Route,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: Iterable[bytes],
    ) -> Response:
        runs = self._runs.known(tracking.ids_in(path.encode()))
        if asked.writes:
            _check_own(runs)
        else:
            offered = self._registry.file(workspace, unquote(asked.artifact or ""), listed=False)
            if offered is not None:
                return offered
        kept = [*kept_headers(headers), *((n, v) for n, v in headers if n.lower() == "content-length")]
        answer = self._world.mlflow.send(space, method, theirs(path, runs), "", kept, body if asked.writes else b"")
        return Response(answer.status, answered_headers(answer.headers), answer.body)

    def _call(
        self,
        workspace: WorkspaceId,
        space: str,
        asked: tracking.Route,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> Response:
        send = self._world.mlflow.send
        if asked.operation == "server-info":
            return alone(send(space, method, path, query, kept_headers(headers), body))
        runs = self._runs.known(tracking.ids_in(b" ".join((query.encode(), body))))
        registry = offers.concerns(asked.operation)
        if asked.writes:
            _check_write(asked, method, payload_of(body), runs)
        elif registry:
            self._registry.offer(workspace)
        here = self._caught_up(workspace, runs)
        history = histories.answer(self._rows, asked.operation, query, here)
        if history is not None:
            return history
        if asked.operation == "artifacts/list":
            offered = self._registry.file(workspace, dict(parse_qsl(query)).get("path", ""), listed=True)
            if offered is not None:
                return offered
        sent = tracking.swap(body, lambda one: runs[one].mlflow_run if one in runs else one)
        answer = send(space, method, theirs(path, runs), theirs(query, runs), kept_headers(headers), sent)
        response = mapped(answer, self._runs, {})
        return offers.shown(response) if registry else response

    def _caught_up(self, workspace: WorkspaceId, runs: Mapping[str, TrackedRun]) -> dict[str, TrackedRun]:
        """Those of the workspace, when MLflow has heard what their jobs said."""
        found = {}
        for one, run in runs.items():
            row = self._world.store.read(lambda connection, job=run.job: jobs.by_id(connection, job))
            if row is None or row.workspace != workspace:
                continue
            found[one] = run
            attempt = speaker(self._world, run.job)
            if attempt is not None:
                self._feeder.catch_up(attempt)
        return found


def _check_own(runs: Mapping[str, TrackedRun]) -> None:
    for run in runs.values():
        raise Forbidden(
            "TrackingRefused",
            f"The run {run.run} is a job's, and only that job writes to it.",
            remedy="Begin a run of your own (mlflow.start_run); tags of a job are changed with the job (mayfly job update).",
        )


def _check_write(
    asked: tracking.Route, method: str, payload: Mapping[str, object], runs: Mapping[str, TrackedRun]
) -> None:
    if offers.concerns(asked.operation):
        raise Forbidden(
            "TrackingRefused",
            "Models are registered by jobs (mlflow.register_model in their scripts), or as assets.",
            remedy="ml_client.models.create_or_update(Model(path='azureml://jobs/NAME/outputs/artifacts/paths/model', …))",
        )
    named = {str(payload.get(key)) for key in (*_RUN, "source_run_id")}
    _check_own({one: run for one, run in runs.items() if one in named})
    tracking.check_places(payload)
