"""What passes between a caller and MLflow: which headers, which bodies, whose ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mayfly.domain import tracking
from mayfly.domain.tracking import TrackedRun
from mayfly.kit.errors import Forbidden, Invalid, NotFound
from mayfly.ports.tracking import Response
from mayfly.services.mlflow import WORKSPACE
from mayfly.services.runs import Runs

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


def mapped(answer: Response, runs: Runs, known: Mapping[str, TrackedRun]) -> Response:
    """The answer with our ids in the place of MLflow's; its length stays."""
    content = b"".join(answer.body)
    found = tracking.ids_in(content)
    behind = {run.mlflow_run: run for run in (*runs.known(found).values(), *known.values())} if found else {}
    said = tracking.swap(content, lambda one: behind[one].run if one in behind else one)
    return Response(answer.status, answered_headers(answer.headers), Bytes(said))


def theirs(text: str, runs: Mapping[str, TrackedRun]) -> str:
    return tracking.swap(text.encode(), lambda one: runs[one].mlflow_run if one in runs else one).decode()


def whole(body: bytes | Iterable[bytes]) -> bytes:
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


def payload_of(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body) if body else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def kept_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Never the job's token or cookies; answers come unpacked, since we read them."""
    names = {name: name.lower() for name, _ in headers}
    kept = [
        (n, v)
        for n, v in headers
        if names[n] in _PASSED_HEADERS or (names[n].startswith("x-mlflow-") and names[n] != WORKSPACE.lower())
    ]
    return [*kept, ("Accept-Encoding", "identity")]


def alone(answer: Response) -> Response:
    """What the server can do, but that it has workspaces: each job has the one it runs in, and cannot choose."""
    content = b"".join(answer.body)
    told = payload_of(content)
    if "workspaces_enabled" in told:
        content = json.dumps({**told, "workspaces_enabled": False}).encode()
    kept = [(name, value) for name, value in answered_headers(answer.headers) if name.lower() != "content-length"]
    return Response(answer.status, (*kept, ("content-length", str(len(content)))), Bytes(content))


def answered_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name.lower() in _ANSWERED_HEADERS)


def refusal_of(error: Forbidden | NotFound | Invalid) -> Response:
    status, word = {Forbidden: (403, "PERMISSION_DENIED"), NotFound: (404, "ENDPOINT_NOT_FOUND")}.get(
        type(error), (400, "INVALID_PARAMETER_VALUE")
    )
    message = f"{error.message} {error.remedy}" if error.remedy else error.message
    content = json.dumps({"error_code": word, "message": message, "code": error.code}).encode()
    headers = (("content-type", "application/json"), ("content-length", str(len(content))))
    return Response(status, headers, Bytes(content))
