"""An application behind real HTTP on a free loopback port, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from mayfly.services.tokens import Principal
from mayfly.testing.nodes import until
from mayfly.testing.world import Scene

WS = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default"


class Serving:
    def __init__(self, app: ASGIApp) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), name="serving")
        self._thread.start()
        until(lambda: self._server.started)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()


@dataclass
class House:
    """A server behind real HTTP, with keys to its doors."""

    stage: Scene
    url: str

    def token(self, kind: str, subject: str) -> str:
        return self.stage.world.tokens.issue(Principal(kind, subject))

    def client(self, kind: str = "user", subject: str = "ann", **changes: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(kind, subject)}"}
        plain = {"timeout": 20, "trust_env": False, "verify": False}
        return httpx.Client(**{"base_url": self.url, "headers": headers, **plain, **changes})

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """As a person, below the default workspace."""
        with self.client() as client:
            return client.request(method, f"{WS}/{path}", **content)

    def body(self, **changes: Any) -> dict[str, Any]:
        return self.stage.submission(**changes).model_dump(mode="json")
