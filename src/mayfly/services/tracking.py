"""The door between jobs and the real MLflow server: one run id for the other, our own rows on the side."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mayfly.domain import tracking
from mayfly.domain.job import JobState
from mayfly.domain.tracking import RunRole, TrackedRun
from mayfly.kit.clock import Clock, Millis
from mayfly.kit.errors import Broken, Forbidden, Invalid, NotFound, Unavailable
from mayfly.kit.ids import JobId, RunId
from mayfly.ports.tracking import Response, TrackingRows, TrackingServer

LARGEST_REQUEST = 64 << 20
"""Bytes of a JSON request; artifacts are streamed and have no limit here."""

_API = "/api/2.0/mlflow"
_PASSED_HEADERS = frozenset({"accept", "content-type", "range", "user-agent"})
_ANSWERED_HEADERS = frozenset(
    {"accept-ranges", "content-disposition", "content-encoding", "content-length", "content-range", "content-type"}
)
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


class Bytes:
    """A body that is at hand."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    def close(self) -> None:
        pass


class TrackingDoor:
    """Safe for many threads. The MLflow server starts on the first call that needs it and may take tens of seconds, so
    callers give this door threads of its own."""

    def __init__(self, server: TrackingServer, rows: TrackingRows, clock: Clock) -> None:
        self._server = server
        self._rows = rows
        self._clock = clock
        self._runs: dict[str, TrackedRun] = {}
        self._experiments: dict[str, str] = {}
        self._making = [threading.Lock() for _ in range(16)]
        self._naming = threading.Lock()

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

    def finish(self, job: JobId, state: JobState, ended_at: Millis) -> None:
        """Give the job's MLflow run its final status, whatever the script left behind; runs that the job nested and
        left open get the same. Does nothing, and starts nothing, for a job that never tracked. Repeatable. Raises
        Unavailable `TrackingUnavailable`: call again later."""
        status = tracking.MLFLOW_STATUS[state]
        for run in self._rows.runs_of(job):
            if run.role is not RunRole.JOB:
                found = self._ask("GET", "runs/get", {"run_id": run.mlflow_run})
                if found.get("run", {}).get("info", {}).get("status") not in ("RUNNING", "SCHEDULED"):
                    continue
            self._ask("POST", "runs/update", {"run_id": run.mlflow_run, "status": status, "end_time": int(ended_at)})

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
        own = self._own_run(attempt)
        runs = self._known(tracking.ids_in(path.encode()), own)
        tracking.check(asked, method, {}, runs, attempt.job)
        kept = [*_kept(headers), *((n, v) for n, v in headers if n.lower() == "content-length")]
        answer = self._server.request(method, _theirs(path, runs), "", kept, body if asked.writes else b"")
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
            return self._passed(self._server.request(method, path, query, _kept(headers), body), {})
        own = self._own_run(attempt)
        payload = _payload(body)
        runs = self._known(tracking.ids_in(b" ".join((path.encode(), query.encode(), body))), own)
        tracking.check(asked, method, payload, runs, attempt.job)
        role = RunRole.CHILD
        if asked.operation == "runs/create":
            payload, role = tracking.adopted(payload, own.mlflow_run, attempt.name)
            body = json.dumps(payload).encode()
        sent = tracking.swap(body, lambda one: runs[one].mlflow_run if one in runs else one)
        answer = self._server.request(method, _theirs(path, runs), _theirs(query, runs), _kept(headers), sent)
        response = self._passed(answer, {own.mlflow_run: own})
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
            made = _run_id(_payload(b"".join(response.body)))
            self._remember(self._rows.bind(TrackedRun(made, made, attempt.job, role)))
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
        runs = {run.mlflow_run: run for run in (*self._known(found).values(), *known.values())} if found else {}
        mapped = tracking.swap(content, lambda one: runs[one].run if one in runs else one)
        return Response(answer.status, _answered(answer.headers), Bytes(mapped))

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _known(self, ids: Iterable[str], own: TrackedRun | None = None) -> dict[str, TrackedRun]:
        """The runs behind these ids, ours or MLflow's, by the id given."""
        runs = {one: self._runs[one] for one in ids if one in self._runs}
        if own is not None:
            runs |= {one: own for one in ids if one in (own.run, own.mlflow_run)}
        unknown = [one for one in ids if one not in runs]
        if unknown:
            for run in self._rows.find(unknown):
                self._remember(run)
                runs |= {one: run for one in (run.run, run.mlflow_run) if one in unknown}
        return runs

    def _remember(self, run: TrackedRun) -> None:
        if len(self._runs) > _REMEMBERED:
            self._runs.clear()
        self._runs[run.run] = self._runs[run.mlflow_run] = run

    def _own_run(self, attempt: AttemptContext) -> TrackedRun:
        """The job's run, made on first use. A crash between MLflow and our row is healed: it is found by its tag."""
        run = self._runs.get(attempt.run)
        if run is not None:
            return run
        with self._making[hash(attempt.run) % len(self._making)]:
            known = self._known([attempt.run]).get(attempt.run)
            if known is not None:
                return known
            mlflow_run = self._make_run(attempt)
            run = self._rows.bind(TrackedRun(attempt.run, mlflow_run, attempt.job))
            self._remember(run)
            return run

    def _make_run(self, attempt: AttemptContext) -> str:
        experiment = self._experiment(attempt.experiment)
        wanted = f"tags.`mayfly.run` = '{attempt.run}'"
        search = {"experiment_ids": [experiment], "filter": wanted, "max_results": 1, "run_view_type": "ALL"}
        for found in self._ask("POST", "runs/search", search).get("runs", ()):
            return _run_id({"run": found})
        tags = {
            "mayfly.run": attempt.run,
            "mayfly.job": attempt.name,
            "mlflow.user": attempt.submitter,
            "mlflow.runName": attempt.name,
            "mlflow.source.name": attempt.name,
            "mlflow.source.type": "JOB",
        }
        create = {
            "experiment_id": experiment,
            "run_name": attempt.name,
            "user_id": attempt.submitter,
            "start_time": int(self._clock.now()),
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        return _run_id(self._ask("POST", "runs/create", create))

    def _experiment(self, name: str) -> str:
        with self._naming:
            known = self._experiments.get(name)
            if known is None:
                known = self._experiment_by_name(name)
                if known is None:
                    self._ask("POST", "experiments/create", {"name": name})
                    known = self._experiment_by_name(name)
                if known is None:
                    raise Broken("TrackingBroken", f"MLflow neither has nor makes the experiment '{name}'.")
                self._experiments[name] = known
            return known

    def _experiment_by_name(self, name: str) -> str | None:
        found = self._ask("GET", "experiments/get-by-name", {"experiment_name": name}).get("experiment")
        if not found:
            return None
        if found.get("lifecycle_stage") == "deleted":
            self._ask("POST", "experiments/restore", {"experiment_id": found["experiment_id"]})
        return str(found["experiment_id"])

    def _ask(self, method: str, operation: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Our own request; {} when MLflow refuses it (missing, deleted or there already). Raises Unavailable
        `TrackingUnavailable` when MLflow itself fails."""
        query, body = "", b""
        if method == "GET":
            query = urlencode(content)
        else:
            body = json.dumps(content).encode()
        headers = (("Content-Type", "application/json"),)
        answer = self._server.request(method, f"{_API}/{operation}", query, headers, body)
        text = b"".join(answer.body)
        if answer.status >= 500:
            words = text[:300].decode(errors="replace")
            raise Unavailable("TrackingUnavailable", f"MLflow failed at {operation} ({answer.status}): {words}")
        return _payload(text) if answer.status < 300 else {}


def _run_id(answer: Mapping[str, Any]) -> str:
    """Raises Broken `TrackingBroken` when the answer names no run."""
    run = str(answer.get("run", {}).get("info", {}).get("run_id", ""))
    if not run:
        raise Broken("TrackingBroken", "MLflow's answer names no run.")
    return run


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
    kept = [(n, v) for n, v in headers if n.lower() in _PASSED_HEADERS or n.lower().startswith("x-mlflow-")]
    return [*kept, ("Accept-Encoding", "identity")]


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
