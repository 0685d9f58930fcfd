"""One HTTP session for every wing: a bearer token, bounded retries, problem documents turned back into errors."""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from mayfly.kit.errors import (
    Broken,
    Conflict,
    Denied,
    Fault,
    Forbidden,
    Invalid,
    MayflyError,
    NotFound,
    Refused,
    Unavailable,
)
from mayfly.transfer.connections import Answer, Connections, Failure, Unconnected

JSON = "application/json"
BYTES = "application/octet-stream"
_KINDS: dict[int, type[MayflyError]] = {
    400: Invalid,
    401: Denied,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Refused,
    503: Unavailable,
}
_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE", "HEAD"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read` is the longest silence in an answer, `stream` the longest in a stream of events."""

    connect: float = 5.0
    read: float = 60.0
    write: float = 60.0
    stream: float = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Of calls that may be repeated, after a connection failed or the server said 503. `attempts` counts the first."""

    attempts: int = 4
    first_s: float = 0.1
    most_s: float = 2.0

    def pause(self, failed: int) -> float:
        """Seconds to wait after `failed` ≥ 1 attempts: doubling, bounded."""
        return min(self.most_s, self.first_s * 2 ** (failed - 1))


class Session:
    """Talks to one server. Safe for many threads. Close it, or use it in a `with`.

    Every method raises: what the server's problem document says, by HTTP status (400 Invalid, 401 Denied, 403
    Forbidden, 404 NotFound, 409 Conflict, 422 Refused, 503 Unavailable, other 5xx Broken); Unavailable
    `ServerUnreachable` when nobody answers there, `ServerSilent` when the answer does not come, `StreamBroken` when it
    breaks off. GET, PUT, DELETE and `patch` are repeated as `retry` says, POST only where the caller says `repeatable`.
    """

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        timeouts: Timeouts = Timeouts(),
        retry: Retry = Retry(),
        user_agent: str = "mayfly",
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises Invalid `AddressInvalid`: only https, or http on this machine's loopback, may carry a token."""
        self.base_url = trusted(base_url)
        self._timeouts, self._retry, self._sleep = timeouts, retry, sleep
        own = {"User-Agent": user_agent, **(headers or {})}
        if token:
            own["Authorization"] = f"Bearer {token}"
        self._headers = own
        self._connections = Connections(self.base_url, timeouts.connect, timeouts.write, verify)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connections.close()

    # --- JSON

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, read_s: float | None = None) -> Any:
        return self._json(self.send("GET", path, params=params, read_s=read_s))

    def post(
        self,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        repeatable: bool = False,
        read_s: float | None = None,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        return self._json(self.send("POST", path, data, params=params, repeatable=repeatable, read_s=read_s))

    def put(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        return self._json(self.send("PUT", path, json.dumps(body).encode(), params=params))

    def patch(self, path: str, body: Any = None) -> Any:
        """For changes that may be made twice."""
        return self._json(self.send("PATCH", path, json.dumps(body).encode(), repeatable=True))

    # --- bytes

    def send(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        media_type: str = JSON,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        read_s: float | None = None,
    ) -> bytes:
        """The answer's body. `read_s`: how long the answer may take, for long polls."""
        own = {"Content-Type": media_type} if content is not None else {}
        may_repeat = repeatable or method in _IDEMPOTENT
        failed = 0
        while True:
            try:
                return self._whole(method, path, content, params, {**own, **(headers or {})}, read_s)
            except Unavailable as error:
                failed += 1
                # A connection that was never made was never a request: that may always be repeated.
                if failed >= self._retry.attempts or not (may_repeat or error.code == "ServerUnreachable"):
                    raise
            self._sleep(self._retry.pause(failed))

    def upload(
        self,
        method: str,
        path: str,
        chunks: Iterable[bytes],
        *,
        media_type: str = BYTES,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send a body as it is made, in constant memory; the JSON answer. Never repeated: the caller can make it anew."""
        return self._json(self._whole(method, path, iter(chunks), params, {"Content-Type": media_type}, None))

    @contextmanager
    def download(
        self,
        path: str,
        *,
        method: str = "GET",
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        read_s: float | None = None,
    ) -> Iterator[Iterator[bytes]]:
        """`with session.download(path) as chunks:`; the body as it comes, in constant memory. Not repeated."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": JSON} if content is not None else {}
        answer = self._ask(method, path, content, params, headers, read_s)
        try:
            yield self._chunks(answer)
        finally:
            answer.close()

    def events(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        """Server-sent events as (event, JSON data) until the server closes the stream; comments are passed over.
        Raises Unavailable `StreamBroken` when it breaks off or falls silent: ask again with what was received."""
        with self.download(path, params=params, read_s=self._timeouts.stream) as chunks:
            yield from parse_events(chunks)

    # --- inside

    def _whole(
        self,
        method: str,
        path: str,
        content: bytes | Iterator[bytes] | None,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        read_s: float | None,
    ) -> bytes:
        answer = self._ask(method, path, content, params, headers, read_s)
        with _network(self.base_url):
            return answer.read()

    def _ask(
        self,
        method: str,
        path: str,
        content: bytes | Iterator[bytes] | None,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        read_s: float | None,
    ) -> Answer:
        """An answer that is none of a failure."""
        given = {key: _told(value) for key, value in (params or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        with _network(self.base_url):
            answer = self._connections.ask(
                method, target, content, {**self._headers, **headers}, read_s or self._timeouts.read
            )
            if answer.status < 300:
                return answer
            body = answer.read()
        raise problem(_kind(answer.status), answer.status, body)

    def _chunks(self, answer: Answer) -> Iterator[bytes]:
        with _network(self.base_url, streaming=True):
            yield from answer.chunks()

    def _json(self, body: bytes) -> Any:
        if not body:
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise Broken(
                "AnswerInvalid",
                f"{self.base_url} answered with something that is no JSON.",
                remedy="Is it a Mayfly server, of this version?",
            ) from error


def trusted(base_url: str) -> str:
    """The address without a trailing slash. Raises Invalid `AddressInvalid`."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host and parts.scheme == "https":
        return base_url.rstrip("/")
    if parts.scheme == "http" and _loopback(host):
        return base_url.rstrip("/")
    raise Invalid(
        "AddressInvalid",
        f"'{base_url}' is not an address that may be trusted with a token.",
        remedy="Use https://…, or http://127.0.0.1:… on this machine.",
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_events(chunks: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Server-sent events from their bytes. Raises Broken `AnswerInvalid` on data that is no JSON."""
    event, data = "message", []
    for line in _lines(chunks):
        if not line:
            if data:
                yield event, _event_data(event, "\n".join(data))
            event, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)


def _event_data(event: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Broken("AnswerInvalid", f"The event '{event}' carries no JSON.") from error


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


@contextmanager
def _network(where: str, *, streaming: bool = False) -> Iterator[None]:
    try:
        yield
    except Unconnected as error:
        raise _unreachable(where, error.__cause__) from error
    except TimeoutError as error:
        code = "StreamBroken" if streaming else "ServerSilent"
        raise Unavailable(code, f"{where} did not answer in time.", remedy="Try again.") from error
    except Failure as error:
        raise Unavailable(
            "StreamBroken" if streaming else "ServerSilent",
            f"The connection to {where} broke off ({error or type(error).__name__}).",
            remedy="Try again.",
        ) from error


def _unreachable(where: str, cause: BaseException | None) -> Unavailable:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unavailable(
            "ServerUnreachable",
            f"The certificate of {where} is not trusted: {cause.verify_message}.",
            remedy="Set SSL_CERT_FILE to a file with the authority that signed it.",
        )
    return Unavailable(
        "ServerUnreachable",
        f"No server answers at {where}.",
        remedy="Start one with 'mayfly up', or check the address.",
    )


def _told(value: Any) -> str:
    """A value as one of a query."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(status: int) -> type[MayflyError]:
    return _KINDS.get(status, Broken if status >= 500 else Invalid)


def problem(kind: type[MayflyError], status: int, body: bytes) -> MayflyError:
    """The error that a problem document stands for; one made from the status when the body is none."""
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return kind(f"Http{status}", f"The server answered with HTTP status {status}.")
    details = error.get("details") or []
    faults = [
        Fault(str(d.get("code", code)), str(d.get("message", "")), d.get("target"), d.get("remedy"))
        for d in details
        if isinstance(d, dict)
    ]
    return kind(code, message, remedy=error.get("remedy"), pointer=error.get("target"), faults=faults)
