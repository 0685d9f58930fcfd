"""A real HTTP server on loopback whose answers a test writes down, for the client's tests. Standard library only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mayfly import __version__

WORKSPACE = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default"
TOKEN = "a-token"


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came. `path` is decoded; `query` has the last value of each key."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """`then_cut`: break the connection off after the body instead of ending it."""

    body: Any = None
    status: int = 200
    media_type: str = "application/json"
    then_cut: bool = False

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer = Reply | Callable[[Call], Reply]


def events(*pairs: tuple[str, Any]) -> bytes:
    """Server-sent events."""
    return b"".join(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in pairs)


def refusal(status: int, code: str, message: str, **more: Any) -> Reply:
    """A problem document."""
    return Reply({"error": {"code": code, "message": message, **more}}, status)


@dataclass(slots=True)
class Script:
    """`answers`: 'METHOD path' → what to say. `calls`: what was asked so far, in order."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def on(self, route: str, answer: Any) -> None:
        """`route` as 'GET jobs/x', relative to the default workspace, or 'GET /absolute'; `answer`: an `Answer`, or JSON."""
        method, _, path = route.partition(" ")
        full = path if path.startswith("/") else f"{WORKSPACE}/{path}"
        given: Answer = answer if isinstance(answer, Reply) or callable(answer) else Reply(answer)  # pyright: ignore
        self.answers[f"{method} {full}"] = given

    def asked(self, route: str) -> list[Call]:
        method, _, path = route.partition(" ")
        full = path if path.startswith("/") else f"{WORKSPACE}/{path}"
        return [call for call in self.calls if call.method == method and call.path == full]


@contextmanager
def scripted_server(version: str = __version__) -> Iterator[Script]:
    """Answers `GET /mayfly/v1/server` from the start; every other call that has no answer is refused as not found."""
    script = Script()
    script.on("GET /mayfly/v1/server", server_view(version=version))
    server = _Quiet(("127.0.0.1", 0), _handler(script))
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def server_view(**changes: Any) -> dict[str, Any]:
    return {
        "version": __version__,
        "started_at": 1,
        "state_folder": "/nowhere",
        "database": "sqlite",
        "automatic": False,
        "jobs": {"Running": 2},
        "nodes": 1,
        "isolation": "none",
        **changes,
    }


def job_view(name: str = "calm_fig_0123456789", **changes: Any) -> dict[str, Any]:
    """A JobView of a job that has completed."""
    return {
        "name": name,
        "id": "job_1",
        "type": "command",
        "display_name": name,
        "experiment_name": "iris",
        "status": "Completed",
        "status_reason": "",
        "phase": "release",
        "phases": [
            {"phase": "validate", "milliseconds": 20},
            {"phase": "environment", "milliseconds": 1500},
            {"phase": "run", "milliseconds": 2000},
        ],
        "submitter": "me",
        "created_at": 1_700_000_000_000,
        "started_at": 1_700_000_001_000,
        "ended_at": 1_700_000_004_000,
        "compute": "serverless",
        "instance_type": "local_1",
        "instance_count": 1,
        "job_tier": "Standard",
        "price_per_hour": 0.0,
        "list_price_per_hour": 0.05,
        "attempt": 1,
        "exit_codes": [0],
        "outputs": [],
        "metrics": {"accuracy": 0.973333},
        "use": {
            "cpu_seconds": 1.5,
            "cpu_percent": 75.0,
            "memory_peak_mib": 120.0,
            "memory_given_mib": 2048,
            "disk_mib": 3.0,
        },
        "definition": {},
        **changes,
    }


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nothing to tell."""


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        do_POST = do_PUT = do_GET

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            call = Call(self.command, unquote(parts.path), query, self._body())
            script.calls.append(call)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(refusal(401, "TokenWrong", "Wrong token."))
                return
            answer = script.answers.get(f"{call.method} {call.path}")
            if answer is None:
                self._send(refusal(404, "NothingThere", f"Nothing is at {call.path}."))
            else:
                self._send(answer if isinstance(answer, Reply) else answer(call))

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, reply: Reply) -> None:
            data = reply.data()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.media_type)
            self.send_header("Content-Length", str(len(data) + (1 if reply.then_cut else 0)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
