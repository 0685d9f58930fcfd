"""The door between jobs and the real MLflow server: one run id for the other, our own rows on the side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mayfly.domain import tracking
from mayfly.domain.tracking import RunRole, TrackedRun
from mayfly.kit.errors import Forbidden, Invalid, NotFound
from mayfly.ports.tracking import Response, TrackingRows
from mayfly.services import histories, offers
from mayfly.services.feeding import Feeder
from mayfly.services.mlflow import Mlflow
from mayfly.services.offers import Registry
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
from mayfly.services.runs import AttemptContext, Runs, run_id


class TrackingDoor:
    """Safe for many threads. The MLflow server starts on the first call that needs it and may take tens of seconds, so
    callers give this door threads of its own."""

    def __init__(self, mlflow: Mlflow, rows: TrackingRows, runs: Runs, feeder: Feeder, registry: Registry) -> None:
        self._mlflow = mlflow
        self._rows = rows
        self._runs = runs
        self._feeder = feeder
        self._registry = registry

    def forward(
        self,
        attempt: AttemptContext,
        method: str,
        path: str,
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
    ) -> Response:
        """One request of a job. `path` starts with /api/ and is percent-encoded, `query` has no '?'.

        What a job may not do is answered with 403 (or 404) in MLflow's own words. What MLflow accepted about the job's
        run is in our rows when this returns. Raises Unavailable `TrackingUnavailable`: the job's client asks again.
        """
        path = quote(unquote(path), safe="/:@!$&'()*+,;=~-._")
        query = urlencode(parse_qsl(query, keep_blank_values=True), safe="/")  # an id stands clear in both
        try:
            asked = tracking.route(method, path)
            if asked.opaque:
                return self._artifact(attempt, asked, method, path, headers, body)
            return self._call(attempt, asked, method, path, query, headers, whole(body))
        except (Forbidden, NotFound, Invalid) as refusal:
            return refusal_of(refusal)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _artifact(
        self,
        attempt: AttemptContext,
        asked: tracking.Route,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Iterable[bytes],
    ) -> Response:
        own = self._runs.own(attempt)
        runs = self._runs.known(tracking.ids_in(path.encode()), own)
        tracking.check(asked, method, {}, runs, attempt.job)
        offered = None if asked.writes else self._registry.content(attempt, unquote(asked.artifact or ""), listed=False)
        if offered is not None:
            return offered
        kept = [*kept_headers(headers), *((n, v) for n, v in headers if n.lower() == "content-length")]
        answer = self._mlflow.send(
            attempt.workspace, method, theirs(path, runs), "", kept, body if asked.writes else b""
        )
        return Response(answer.status, answered_headers(answer.headers), answer.body)

    def _call(
        self,
        attempt: AttemptContext,
        asked: tracking.Route,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> Response:
        if asked.operation == "server-info":  # asked by clients before they know whether they will track
            return alone(self._mlflow.send(attempt.workspace, method, path, query, kept_headers(headers), body))
        own = self._runs.own(attempt)
        if asked.operation in (histories.PAGE, histories.CURVE):
            mine = self._runs.known(tracking.ids_in(query.encode()), own)
            mine = {one: run for one, run in mine.items() if run.job == attempt.job}
            history = histories.answer(self._rows, asked.operation, query, mine)
            if history is not None:
                return history
        if asked.operation == "artifacts/list":
            offered = self._registry.content(attempt, dict(parse_qsl(query)).get("path", ""), listed=True)
            if offered is not None:
                return offered
        self._registry.before(attempt, asked.operation)
        self._feeder.feed(attempt)  # so that it sees what was written before
        payload = payload_of(body)
        runs = self._runs.known(tracking.ids_in(b" ".join((path.encode(), query.encode(), body))), own)
        tracking.check(asked, method, payload, runs, attempt.job)
        role, orphan = RunRole.CHILD, False
        if asked.operation == "runs/create":
            payload, role = tracking.adopted(payload, own.mlflow_run, attempt.name)
            body = json.dumps(payload).encode()
        elif asked.operation == "logged-models" and not payload.get("source_run_id"):
            payload = {**payload, "source_run_id": own.mlflow_run}  # a model without a run is the job's all the same
            body, orphan = json.dumps(payload).encode(), True
        sent = tracking.swap(body, lambda one: runs[one].mlflow_run if one in runs else one)
        registry = offers.concerns(asked.operation)
        sent = offers.kept(sent) if registry else sent
        answer = self._mlflow.send(
            attempt.workspace, method, theirs(path, runs), theirs(query, runs), kept_headers(headers), sent
        )
        response = mapped(answer, self._runs, {own.mlflow_run: own})
        response = offers.shown(response) if registry else response
        if orphan and response.status < 300:
            made = payload_of(b"".join(response.body)).get("model", {}).get("info", {}).get("model_id", "")
            outputs = {"run_id": own.mlflow_run, "models": [{"model_id": made, "step": 0}]}
            self._mlflow.ask(attempt.workspace, "POST", "runs/outputs", outputs)
        if 200 <= response.status < 300 and asked.writes:
            self._take_note(attempt, asked.operation, payload, runs, role, response)
        return response

    def _take_note(
        self,
        attempt: AttemptContext,
        operation: str,
        payload: Mapping[str, Any],
        runs: Mapping[str, TrackedRun],
        role: RunRole,
        response: Response,
    ) -> None:
        if operation == "runs/create":
            made = run_id(payload_of(b"".join(response.body)))
            self._runs.remember(self._rows.bind(TrackedRun(made, made, attempt.job, role)))
            return
        if operation == "model-versions/create":
            self._registry.registered(attempt, payload_of(b"".join(response.body)).get("model_version", {}))
            return
        run = runs.get(tracking.target(payload))
        if run is None or run.role is RunRole.CHILD:
            return
        told = tracking.told(operation, payload)
        if run.role is RunRole.STRAY:
            told = tracking.Tracked(metrics=told.metrics)
        if told:
            self._rows.record(attempt.job, attempt.attempt, told)
