"""The door between jobs and the real MLflow server: one run id for the other, our own rows on the side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mayfly.domain import tracking
from mayfly.domain.tracking import RunRole, TrackedRun
from mayfly.kit.errors import Forbidden, Invalid, NotFound
from mayfly.ports.tracking import Response, TrackingRows
from mayfly.services.feeding import Feeder
from mayfly.services.mlflow import WORKSPACE, Mlflow
from mayfly.services.runs import AttemptContext, Runs, run_id

LARGEST_REQUEST = 64 << 20
"""Bytes of a JSON request; artifacts are streamed and have no limit here."""

_PASSED_HEADERS = frozenset({"accept", "content-type", "range", "user-agent"})
_ANSWERED_HEADERS = frozenset(
    {"accept-ranges", "content-disposition", "content-encoding", "content-length", "content-range", "content-type"}
)


class Bytes:
    """A body that is at hand."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    def close(self) -> None:
        pass


Registered = Callable[[AttemptContext, Mapping[str, Any]], None]
"""Hears of each model version that a job has registered, as MLflow tells it."""


class TrackingDoor:
    """Safe for many threads. The MLflow server starts on the first call that needs it and may take tens of seconds, so
    callers give this door threads of its own."""

    def __init__(self, mlflow: Mlflow, rows: TrackingRows, runs: Runs, feeder: Feeder, registered: Registered) -> None:
        self._mlflow = mlflow
        self._rows = rows
        self._runs = runs
        self._feeder = feeder
        self._registered = registered

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
            return self._call(attempt, asked, method, path, query, headers, _whole(body))
        except (Forbidden, NotFound, Invalid) as refusal:
            return _refusal(refusal)

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
        kept = [*_kept(headers), *((n, v) for n, v in headers if n.lower() == "content-length")]
        answer = self._mlflow.send(
            attempt.workspace, method, _theirs(path, runs), "", kept, body if asked.writes else b""
        )
        return Response(answer.status, _answered(answer.headers), answer.body)

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
            return _alone(self._mlflow.send(attempt.workspace, method, path, query, _kept(headers), body))
        self._feeder.feed(attempt)  # so that it sees what was written before
        own = self._runs.own(attempt)
        payload = _payload(body)
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
        answer = self._mlflow.send(
            attempt.workspace, method, _theirs(path, runs), _theirs(query, runs), _kept(headers), sent
        )
        response = self._passed(answer, {own.mlflow_run: own})
        if orphan and response.status < 300:
            made = _payload(b"".join(response.body)).get("model", {}).get("info", {}).get("model_id", "")
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
            made = run_id(_payload(b"".join(response.body)))
            self._runs.remember(self._rows.bind(TrackedRun(made, made, attempt.job, role)))
            return
        if operation == "model-versions/create":
            self._registered(attempt, _payload(b"".join(response.body)).get("model_version", {}))
            return
        run = runs.get(tracking.target(payload))
        if run is None or run.role is RunRole.CHILD:
            return
        told = tracking.told(operation, payload)
        if run.role is RunRole.STRAY:
            told = tracking.Tracked(metrics=told.metrics)
        if told:
            self._rows.record(attempt.job, attempt.attempt, told)

    def _passed(self, answer: Response, known: Mapping[str, TrackedRun]) -> Response:
        """The answer with our ids in the place of MLflow's; its length stays."""
        content = b"".join(answer.body)
        found = tracking.ids_in(content)
        runs = {run.mlflow_run: run for run in (*self._runs.known(found).values(), *known.values())} if found else {}
        mapped = tracking.swap(content, lambda one: runs[one].run if one in runs else one)
        return Response(answer.status, _answered(answer.headers), Bytes(mapped))


def _theirs(text: str, runs: Mapping[str, TrackedRun]) -> str:
    return tracking.swap(text.encode(), lambda one: runs[one].mlflow_run if one in runs else one).decode()


def _whole(body: bytes | Iterable[bytes]) -> bytes:
    """Raises Invalid `TrackingRequestTooLarge`."""
    if isinstance(body, bytes):
        return body
    chunks, size = [], 0
    for chunk in body:
        size += len(chunk)
        if size > LARGEST_REQUEST:
            raise Invalid("TrackingRequestTooLarge", f"A request may have {LARGEST_REQUEST >> 20} MiB.")
        chunks.append(chunk)
    return b"".join(chunks)


def _payload(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body) if body else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _kept(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Never the job's token or cookies; answers come unpacked, since we read them."""
    names = {name: name.lower() for name, _ in headers}
    kept = [
        (n, v)
        for n, v in headers
        if names[n] in _PASSED_HEADERS or (names[n].startswith("x-mlflow-") and names[n] != WORKSPACE.lower())
    ]
    return [*kept, ("Accept-Encoding", "identity")]


def _alone(answer: Response) -> Response:
    """What the server can do, but that it has workspaces: each job has the one it runs in, and cannot choose."""
    content = b"".join(answer.body)
    told = _payload(content)
    if "workspaces_enabled" in told:
        content = json.dumps({**told, "workspaces_enabled": False}).encode()
    kept = [(name, value) for name, value in _answered(answer.headers) if name.lower() != "content-length"]
    return Response(answer.status, (*kept, ("content-length", str(len(content)))), Bytes(content))


def _answered(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name.lower() in _ANSWERED_HEADERS)


def _refusal(error: Forbidden | NotFound | Invalid) -> Response:
    status, word = {Forbidden: (403, "PERMISSION_DENIED"), NotFound: (404, "ENDPOINT_NOT_FOUND")}.get(
        type(error), (400, "INVALID_PARAMETER_VALUE")
    )
    message = f"{error.message} {error.remedy}" if error.remedy else error.message
    content = json.dumps({"error_code": word, "message": message, "code": error.code}).encode()
    headers = (("content-type", "application/json"), ("content-length", str(len(content))))
    return Response(status, headers, Bytes(content))
