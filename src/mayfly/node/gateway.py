"""The one door through which jobs speak to the tracking server, and get access tokens: on loopback, for holders of an
attempt's token.

What a job writes about its own runs goes into its journal and is answered at once. Every other call waits until the
journal is published, so that it sees what was written, and is passed on; it is held while the server is away and sent
again when it is back. So a server restart costs a job no metric.
"""

from __future__ import annotations

import errno
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import IO, ClassVar

from mayfly.kit.errors import Unavailable
from mayfly.node.disk import read_json, write_json
from mayfly.node.journal import Journal
from mayfly.node.server import Server
from mayfly.wire.agent import Fence

HOLD_S = 840.0
"""How long a call waits for the server: less than MLFLOW_HTTP_REQUEST_TIMEOUT, which jobs are given."""
IDENTITY_S = 60.0
"""How long a call for an access token waits for it."""
_IN_MEMORY = 1 << 20
_LONGEST_LINE = 65536
_NOT_PASSED_ON = frozenset(
    {"host", "authorization", "connection", "content-length", "transfer-encoding", "keep-alive", "mayfly-attempt"}
)
_AWAY = frozenset({502, 503, 504})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_CALL = re.compile(r"/api/2\.0/mlflow/(?P<operation>runs/[a-z-]+)(?:\?|\Z)")
_IDENTITY = re.compile(r"/msi/token/?(?:\?|\Z)")
_BYTES = re.compile(r"/api/2\.0/mlflow-artifacts/artifacts/")


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who calls, and where what it writes is kept."""

    fence: Fence
    journal: Journal


class Gateway:
    """Listens from `start` to `stop`, after a restart on the port it had before, so that running jobs find it again."""

    def __init__(self, server: Server, record: Path, whose: Callable[[str], Speaker | None]) -> None:
        """`record` keeps the port, and beside it lie large bodies on their way (/tmp may be memory); `whose` tells which
        live attempt a token opens."""
        self.stopping = threading.Event()
        self.upstream, self.whose = server, whose
        self._record, self.spool = record, record.parent
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """For MLFLOW_TRACKING_URI."""
        assert self._http is not None, "the gateway is started first"
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        port = (read_json(self._record) or {}).get("port", 0)
        handler = type("Handler", (_Handler,), {"gateway": self})
        try:
            self._http = _Listener(("127.0.0.1", port), handler)
        except OSError:
            self._http = _Listener(("127.0.0.1", 0), handler)
        write_json(self._record, {"port": self._http.server_address[1]})
        threading.Thread(target=self._http.serve_forever, args=(0.5,), name="gateway", daemon=True).start()

    def stop(self) -> None:
        self.stopping.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A job that hangs up is no fault of ours."""


class _Handler(BaseHTTPRequestHandler):
    gateway: ClassVar[Gateway]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the paths are the job's business."""

    def _any(self) -> None:
        if _IDENTITY.match(self.path):
            self._identity()
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        speaker = self.gateway.whose(token) if token else None
        if speaker is None:
            self._refuse(401, "PERMISSION_DENIED", "This token opens no attempt that is running on this node.")
            return
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(self.gateway.spool)) as body:
            try:
                size = self._receive(body)
            except ValueError:
                self._refuse(400, "INVALID_PARAMETER_VALUE", "The request's length cannot be understood.")
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._refuse(507, "RESOURCE_EXHAUSTED", "The node's disk has no room for this file on its way.")
                return
            call = _CALL.match(self.path) if self.command in ("POST", "GET") else None
            operation = call["operation"] if call else ""
            if self.command == "POST" and operation and size <= _IN_MEMORY:
                body.seek(0)
                kept = speaker.journal.accept(operation, body.read())
                if kept is not None:
                    self._say(200, kept)
                    return
            self._pass_on(speaker, operation, token, body, size)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _any

    def _identity(self) -> None:
        """An access token for the job, by the protocol of Azure's managed identities: who the job is, the server knows."""
        token = self.headers.get("X-IDENTITY-HEADER") or self.headers.get("secret") or ""
        speaker = self.gateway.whose(token) if token else None
        if speaker is None:
            self._say(401, _refusal("TokenInvalid", "This secret opens no attempt that is running on this node."))
            return
        headers = {"Mayfly-Attempt": f"{speaker.fence.job}/{speaker.fence.attempt}"}
        path = "/identity?" + self.path.partition("?")[2]
        deadline, delay = time.monotonic() + IDENTITY_S, 0.05
        while True:
            try:
                answer = self.gateway.upstream.forward("GET", path, headers, None)
                content = answer.read()
                if answer.status not in _AWAY:
                    self._say(answer.status, content)
                    return
            except (Unavailable, HTTPException):
                pass
            if time.monotonic() > deadline or self.gateway.stopping.wait(delay):
                self._say(503, _refusal("ServerAway", "The server has been away for too long."))
                return
            delay = min(delay * 1.6, 1.0)

    def _receive(self, body: IO[bytes]) -> int:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            for chunk in _unchunked(self.rfile):
                body.write(chunk)
        else:
            left = _length(self.headers.get("Content-Length") or "0", 10)
            while left and (chunk := self.rfile.read(min(left, _IN_MEMORY))):
                body.write(chunk)
                left -= len(chunk)
        return body.tell()

    def _pass_on(self, speaker: Speaker, operation: str, token: str, body: IO[bytes], size: int) -> None:
        fence = speaker.fence
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        headers["Mayfly-Attempt"] = f"{fence.job}/{fence.attempt}"
        if size:
            headers["Content-Length"] = str(size)
        deadline, delay = time.monotonic() + HOLD_S, 0.05
        while True:
            body.seek(0)
            try:
                if not _BYTES.match(self.path) and not speaker.journal.flushed(1.0):
                    raise Unavailable("ServerAway", "The journal is not published yet.")
                answer = self.gateway.upstream.forward(
                    self.command, "/mlflow" + self.path, headers, _blocks(body) if size else b""
                )
                if answer.status not in _AWAY:
                    self._answer(answer, speaker.journal, operation)
                    return
                answer.read()
            except Unavailable:
                pass
            if self.gateway.whose(token) is None:
                self._problem(401, "PERMISSION_DENIED", "The attempt has ended.")
                return
            if time.monotonic() > deadline or self.gateway.stopping.wait(delay):
                self._problem(503, "TEMPORARILY_UNAVAILABLE", "The server has been away for too long.")
                return
            delay = min(delay * 1.6, 1.0)

    def _answer(self, answer: HTTPResponse, journal: Journal, operation: str) -> None:
        content = b""
        if operation and answer.status == 200:  # about a run: small, and something to learn from
            with suppress(HTTPException):
                content = answer.read()
            journal.heard(operation, content)
        status, length = answer.status, answer.getheader("Content-Length")
        self.send_response(status)
        for name, value in answer.getheaders():
            if name.lower() not in (*_NOT_PASSED_ON, "date", "server"):
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or status in (204, 304)
        if length is not None or bodiless:
            self.send_header("Content-Length", length or "0")
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(HTTPException):
            while chunk := content or answer.read(_IN_MEMORY):
                content = b""
                if bodiless:
                    continue
                self.wfile.write(chunk if length is not None else b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if length is None and not bodiless:
            self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Of who may not call here nothing is kept; a small body is let pass, so that the caller hears the answer."""
        self.close_connection = True
        length = self.headers.get("Content-Length") or "0"
        if length.isascii() and length.isdecimal() and len(length) < 7:
            self.rfile.read(int(length))
        self._problem(status, code, message)

    def _problem(self, status: int, code: str, message: str) -> None:
        """In the shape that MLflow's client reads."""
        self._say(status, json.dumps({"error_code": code, "message": message}).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _refusal(code: str, message: str) -> bytes:
    """In the shape that Azure's credentials read."""
    return json.dumps({"error": {"code": code, "message": message}, "message": message}).encode()


def _blocks(body: IO[bytes]) -> Iterator[bytes]:
    while chunk := body.read(_IN_MEMORY):
        yield chunk


def _unchunked(stream: BufferedIOBase) -> Iterator[bytes]:
    while size := _length(stream.readline(_LONGEST_LINE).split(b";")[0].decode("latin-1").strip() or "0", 16):
        while size and (chunk := stream.read(min(size, _IN_MEMORY))):
            yield chunk
            size -= len(chunk)
        stream.readline(_LONGEST_LINE)
    while stream.readline(_LONGEST_LINE).strip():
        pass


def _length(text: str, base: int) -> int:
    """Raises ValueError for what is no length."""
    if not text.isalnum() or not text.isascii():
        raise ValueError("a length has digits only")
    return int(text, base)
