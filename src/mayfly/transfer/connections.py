"""Connections to one server over the standard library's HTTP client, kept for the calls that follow."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from mayfly.transfer import certificates

_AT_ONCE = 1 << 16
_IDLE_MOST = 8

Failure = (OSError, http.client.HTTPException)
"""What a connection can raise once there is one; TimeoutError is one of them."""


class Unconnected(Exception):
    """No connection was made, so nothing was asked; its cause says why."""


class Connections:
    """Safe for many threads: each call has a connection of its own while it lasts. No proxy is asked, and no redirect
    followed. `verify`: whom to trust over TLS, `certificates.trusted` without it."""

    def __init__(self, base_url: str, connect_s: float, write_s: float, verify: ssl.SSLContext | None = None) -> None:
        url = urlsplit(base_url)
        self._host, self._port, self._prefix = url.hostname or "", url.port, url.path.rstrip("/")
        self._connect_s, self._write_s = connect_s, write_s
        self._trust = (verify or certificates.trusted()) if url.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Those that no call has; a call that goes on ends as it would."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def ask(
        self,
        method: str,
        target: str,
        content: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
        read_s: float,
    ) -> Answer:
        """The head of the answer. Raises Unconnected, Failure, and what gives the content raises."""
        connection = self._take()
        try:
            told = _send(connection, method, self._prefix + target, content, headers, self._write_s, read_s)
        except BaseException:
            connection.close()
            raise
        return Answer(self, connection, told)

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_MOST:
                self._idle.append(connection)
                return
        connection.close()

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._made()
            if _quiet(connection.sock):
                return connection
            connection.close()  # the server has closed it meanwhile

    def _made(self) -> http.client.HTTPConnection:
        if self._trust is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._connect_s)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._connect_s, context=self._trust
            )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Unconnected from error
        return connection


class Answer:
    """An answer whose body is still to be read. Read it whole, or close it."""

    def __init__(
        self, owner: Connections, connection: http.client.HTTPConnection, told: http.client.HTTPResponse
    ) -> None:
        self.status = told.status
        self._owner, self._told = owner, told
        self._connection: http.client.HTTPConnection | None = connection

    def read(self) -> bytes:
        """The whole body. Raises Failure."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes, in constant memory. Raises Failure where it breaks off."""
        try:
            while chunk := self._told.read1(_AT_ONCE):
                yield chunk
            if self._told.length:
                raise http.client.IncompleteRead(b"", self._told.length)
            self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """What is not read is not wanted: the connection goes with it. May be called again."""
        connection, self._connection = self._connection, None
        self._told.close()
        if connection is not None:
            connection.close()

    def _finish(self) -> None:
        connection, kept = self._connection, not self._told.will_close
        if connection is not None and kept:
            self._connection = None
            self._told.close()
            self._owner.give_back(connection)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    content: bytes | Iterable[bytes] | None,
    headers: Mapping[str, str],
    write_s: float,
    read_s: float,
) -> http.client.HTTPResponse:
    connection.sock.settimeout(write_s)
    streamed = content is not None and not isinstance(content, bytes)
    whole = {**headers, "Transfer-Encoding": "chunked"} if streamed else dict(headers)
    try:
        connection.request(method, target, content, whole, encode_chunked=streamed)
    except (BrokenPipeError, ConnectionResetError) as error:
        # A server that refuses a long body says why before it has all of it, and closes.
        try:
            connection.sock.settimeout(read_s)
            return connection.getresponse()
        except Failure:
            raise error from None
    connection.sock.settimeout(read_s)
    return connection.getresponse()


def _quiet(sock: socket.socket | None) -> bool:
    """Whether nothing has come on a connection that nobody asked anything: what comes then is its end."""
    if sock is None:
        return False
    if not hasattr(select, "poll"):  # Windows, whose select knows no limit of descriptors
        return not select.select([sock], [], [], 0)[0]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)
