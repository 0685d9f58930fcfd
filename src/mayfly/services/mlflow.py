"""MLflow's own API as the server speaks it for itself: in the workspace that stands behind one of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from mayfly.kit.errors import Unavailable
from mayfly.ports.tracking import Response, TrackingServer

API = "/api/2.0/mlflow"
WORKSPACE = "X-MLFLOW-WORKSPACE"
"""MLflow's header for the workspace of a request. Ours is the only one: what a caller sends is never passed on."""
FIRST = "default"
"""MLflow's own workspace, which stands behind the one that every Mayfly begins with."""


class Mlflow:
    """Safe for many threads. The process behind it starts on the first call that needs it, which may take a minute."""

    def __init__(self, server: TrackingServer) -> None:
        self._server = server
        self._made: set[str] = {FIRST}
        self._making = threading.Lock()

    def prewarm(self) -> None:
        self._server.prewarm()

    def send(
        self,
        workspace: str,
        method: str,
        path: str,
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
    ) -> Response:
        """A request in that workspace, which is made when it is not there. Raises Unavailable `TrackingUnavailable`."""
        if workspace not in self._made:
            with self._making:
                if workspace not in self._made:
                    made = self._request(FIRST, "POST", "/api/3.0/mlflow/workspaces", {"name": workspace})
                    text = b"".join(made.body)
                    if made.status >= 300 and b"RESOURCE_ALREADY_EXISTS" not in text:
                        raise _failed("workspaces", made.status, text)
                    self._made.add(workspace)
        return self._server.request(method, path, query, (*headers, (WORKSPACE, workspace)), body)

    def ask(self, workspace: str, method: str, operation: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """A question or an order of our own; {} when MLflow refuses it (missing, deleted or there already). Raises
        Unavailable `TrackingUnavailable` when MLflow itself fails."""
        return self.tell(workspace, method, operation, content)[1]

    def tell(
        self, workspace: str, method: str, operation: str, content: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """As `ask`; the first value is MLflow's refusal in its own words, '' when there was none. An operation that
        begins with '/' is a whole path."""
        path = operation if operation.startswith("/") else f"{API}/{operation}"
        query, body = ("", json.dumps(content).encode()) if method != "GET" else (urlencode(content), b"")
        headers = (("Content-Type", "application/json"),)
        answer = self.send(workspace, method, path, query, headers, body)
        text = b"".join(answer.body)
        if answer.status >= 500:
            raise _failed(operation, answer.status, text)
        if answer.status >= 300:
            return text[:500].decode(errors="replace") or str(answer.status), {}
        found = json.loads(text) if text else {}
        return "", found if isinstance(found, dict) else {}

    def _request(self, workspace: str, method: str, path: str, content: Mapping[str, Any]) -> Response:
        headers = (("Content-Type", "application/json"), (WORKSPACE, workspace))
        return self._server.request(method, path, "", headers, json.dumps(content).encode())


class NoServer:
    """Implements `ports.tracking.TrackingServer` where there is none."""

    def prewarm(self) -> None:
        pass

    def request(self, *_: object, **__: object) -> Response:
        raise Unavailable("TrackingUnavailable", "There is no MLflow server here.")

    def close(self) -> None:
        pass


def _failed(operation: str, status: int, text: bytes) -> Unavailable:
    words = text[:300].decode(errors="replace")
    return Unavailable("TrackingUnavailable", f"MLflow failed at {operation} ({status}): {words}")
