import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mayfly.drivers.authority import Authority
from mayfly.kit import errors
from mayfly.main.making import SteadyClock
from mayfly.transfer.http import Retry, Session, Timeouts, parse_events, trusted

Handle = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(handle: Handle, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            handle(self)

        do_POST = do_PUT = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http{'' if context is None else 's'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def session(handle: Handle, **changes: Any) -> Iterator[Session]:
    with serving(handle) as address, Session(address, "secret", sleep=lambda _: None, **changes) as talk:
        yield talk


def answer(door: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    door.send_response(status)
    door.send_header("Content-Length", str(len(body)))
    door.end_headers()
    door.wfile.write(body)


def answering(status: int, body: bytes) -> Handle:
    return lambda door: answer(door, status, body)


def content(door: BaseHTTPRequestHandler) -> bytes:
    return door.rfile.read(int(door.headers.get("Content-Length") or 0))


def chunk(door: BaseHTTPRequestHandler, data: bytes) -> None:
    door.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    door.wfile.flush()


def stream(door: BaseHTTPRequestHandler) -> None:
    door.send_response(200)
    door.send_header("Transfer-Encoding", "chunked")
    door.end_headers()


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("http://127.0.0.1:80/", True),
        ("http://localhost:80", True),
        ("http://[::1]:80", True),
        ("https://mayfly.example", True),
        ("http://mayfly.example", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example", False),
        ("ftp://127.0.0.1", False),
        ("127.0.0.1:80", False),
        ("", False),
    ],
)
def test_only_loopback_or_https_is_trusted(address: str, fine: bool) -> None:
    if fine:
        assert trusted(address) == address.rstrip("/")
    else:
        with pytest.raises(errors.Invalid) as raised:
            trusted(address)
        assert raised.value.code == "AddressInvalid"


def test_json_goes_and_comes_with_the_token() -> None:
    def handle(door: BaseHTTPRequestHandler) -> None:
        assert door.headers["Authorization"] == "Bearer secret"
        path, _, query = door.path.partition("?")
        body = content(door)
        told = [door.command, path, query, json.loads(body) if body else None]
        answer(door, 200, json.dumps(told).encode())

    with session(handle) as talk:
        assert talk.get("/a", {"x": 1, "yes": True, "none": None}) == ["GET", "/a", "x=1&yes=true", None]
        assert talk.post("/b", {"k": "ü"}) == ["POST", "/b", "", {"k": "ü"}]
        assert talk.put("/c", [1]) == ["PUT", "/c", "", [1]]


def test_a_path_before_the_doors_is_kept() -> None:
    with (
        serving(lambda door: answer(door, 200, json.dumps(door.path).encode())) as address,
        Session(f"{address}/behind/a/") as talk,
    ):
        assert talk.get("/door") == "/behind/a/door"


def test_a_connection_serves_many_calls_and_a_closed_one_is_not_used_again() -> None:
    seen = []

    def handle(door: BaseHTTPRequestHandler) -> None:
        seen.append(door.client_address)
        answer(door, 404 if door.path == "/none" else 200, b"1")
        door.close_connection = door.path == "/last"

    with session(handle, retry=Retry(attempts=1)) as talk:
        assert talk.get("/") == 1
        with pytest.raises(errors.NotFound):
            talk.get("/none")
        assert talk.post("/last") == 1
        assert len(set(seen)) == 1
        [kept] = talk._connections._idle
        until_closed(kept.sock)
        assert talk.post("/") == 1
        assert len(set(seen)) == 2


def until_closed(sock: socket.socket) -> None:
    """Until the other side has closed it."""
    assert sock.recv(1, socket.MSG_PEEK) == b""


def test_threads_share_a_session() -> None:
    with session(lambda door: answer(door, 200, content(door))) as talk, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: talk.post("/", n), range(100))) == list(range(100))


def test_a_long_body_that_is_refused_early_is_its_problem() -> None:
    """The server says no after the head and closes; the client is still sending."""

    def handle(door: BaseHTTPRequestHandler) -> None:
        answer(door, 413, b'{"error": {"code": "TooLarge", "message": "No."}}')
        door.close_connection = True

    with session(handle) as talk, pytest.raises(errors.Invalid) as raised:
        talk.upload("POST", "/blobs", (b"x" * 65536 for _ in range(64)))
    assert raised.value.code == "TooLarge"


def test_whose_certificate_is_not_trusted_is_not_spoken_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path, ("127.0.0.1",), SteadyClock())
    trust = ssl.create_default_context(cafile=authority.certificate)
    with serving(lambda door: answer(door, 200, b"1"), authority.context) as address:
        with Session(address, verify=trust) as talk:
            assert talk.get("/") == 1
            assert talk.get("/") == 1
        with Session(address, retry=Retry(attempts=1)) as talk, pytest.raises(errors.Unavailable) as raised:
            talk.get("/")
    assert raised.value.code == "ServerUnreachable"
    assert "not trusted" in raised.value.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Denied),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (422, errors.Refused),
        (418, errors.Invalid),
        (500, errors.Broken),
        (502, errors.Broken),
        (503, errors.Unavailable),
    ],
)
def test_a_problem_document_becomes_its_error(status: int, kind: type[errors.MayflyError]) -> None:
    body = {
        "error": {
            "code": "SomeCode",
            "message": "What happened.",
            "target": "/inputs/a",
            "remedy": "Do this.",
            "details": [{"code": "Inner", "message": "Part.", "target": "/code", "remedy": None}],
        }
    }
    with session(answering(status, json.dumps(body).encode())) as talk, pytest.raises(kind) as raised:
        talk.get("/")
    error = raised.value
    assert (error.code, error.message, error.pointer, error.remedy) == (
        "SomeCode",
        "What happened.",
        "/inputs/a",
        "Do this.",
    )
    assert error.all_faults() == (errors.Fault("Inner", "Part.", "/code", None),)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"detail": "x"}'])
def test_any_other_failure_keeps_its_status(body: bytes) -> None:
    with session(answering(404, body)) as talk, pytest.raises(errors.NotFound) as raised:
        talk.get("/")
    assert raised.value.code == "Http404"


def test_an_answer_that_is_no_json_is_broken() -> None:
    with session(answering(200, b"<html>")) as talk, pytest.raises(errors.Broken) as raised:
        talk.get("/")
    assert raised.value.code == "AnswerInvalid"


@pytest.mark.parametrize(
    ("call", "calls"),
    [
        (lambda s: s.get("/"), 3),
        (lambda s: s.put("/"), 3),
        (lambda s: s.patch("/"), 3),
        (lambda s: s.post("/"), 1),
        (lambda s: s.post("/", repeatable=True), 3),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
def test_what_may_be_repeated_is(call: Callable[[Session], None], calls: int, silent: bool) -> None:
    """When the connection breaks off without an answer, and when none comes in time."""
    seen, release = [], threading.Event()

    def handle(door: BaseHTTPRequestHandler) -> None:
        content(door)
        seen.append(1)
        if silent:
            release.wait(20)
        door.close_connection = True

    with session(handle, retry=Retry(attempts=3), timeouts=Timeouts(read=0.1 if silent else 20)) as talk:
        with pytest.raises(errors.Unavailable) as raised:
            call(talk)
        release.set()
    assert raised.value.code == "ServerSilent"
    assert len(seen) == calls


def test_a_second_attempt_may_succeed_and_pauses_grow_to_a_bound() -> None:
    answers = iter([503, 503, 200])
    with session(lambda door: answer(door, next(answers), b"1")) as talk:
        assert talk.get("/") == 1
    retry = Retry(first_s=0.1, most_s=0.3)
    assert [retry.pause(n) for n in (1, 2, 3, 9)] == [0.1, 0.2, 0.3, 0.3]


def test_an_answer_that_breaks_off_is_none() -> None:
    def handle(door: BaseHTTPRequestHandler) -> None:
        door.send_response(200)
        door.send_header("Content-Length", "10")
        door.end_headers()
        door.wfile.write(b"123")
        door.close_connection = True

    with session(handle, retry=Retry(attempts=1)) as talk:
        with pytest.raises(errors.Unavailable) as raised:
            talk.get("/")
        assert raised.value.code == "ServerSilent"
        with talk.download("/") as chunks, pytest.raises(errors.Unavailable) as raised:
            list(chunks)
        assert raised.value.code == "StreamBroken"


def test_nobody_there_is_asked_again_whatever_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pauses: list[float] = []
    with (
        Session(f"http://127.0.0.1:{port}", retry=Retry(attempts=3), sleep=pauses.append) as talk,
        pytest.raises(errors.Unavailable) as raised,
    ):
        talk.post("/")
    assert len(pauses) == 2
    assert raised.value.code == "ServerUnreachable"
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ('event: log\ndata: {"a": 1}\n\n', [("log", {"a": 1})]),
        ("data: [1,\ndata: 2]\n\n", [("message", [1, 2])]),
        (": ping\n\nevent:end\r\ndata:null\r\n\r\n", [("end", None)]),
        ("event: cut\ndata: 1\n", []),
        ("id: 3\nretry: 4\n\n", []),
        ('data: "a\u2028b"\n\n', [("message", "a\u2028b")]),
    ],
)
def test_events_however_they_are_cut(text: str, events: list) -> None:
    data = text.encode()
    assert list(parse_events([data])) == events
    assert list(parse_events([data[i : i + 1] for i in range(len(data))])) == events


def test_a_stream_of_events_over_a_real_socket() -> None:
    def handle(door: BaseHTTPRequestHandler) -> None:
        stream(door)
        chunk(door, b'event: log\ndata: {"n": 1}\n\nevent: e')
        chunk(door, b"nd\ndata: {}\n\n")
        chunk(door, b"")

    with serving(handle) as address, Session(address) as talk:
        assert list(talk.events("/stream")) == [("log", {"n": 1}), ("end", {})]


def test_a_stream_that_breaks_off_says_so() -> None:
    def handle(door: BaseHTTPRequestHandler) -> None:
        stream(door)
        chunk(door, b"data: 1\n\n")
        door.close_connection = True

    seen = []
    with serving(handle) as address, Session(address) as talk, pytest.raises(errors.Unavailable) as raised:
        for event in talk.events("/stream"):
            seen.append(event)
    assert seen == [("message", 1)]
    assert raised.value.code == "StreamBroken"


def test_a_silent_stream_is_broken() -> None:
    release = threading.Event()

    def handle(door: BaseHTTPRequestHandler) -> None:
        stream(door)
        chunk(door, b"data: 1\n\n")
        release.wait(20)
        door.close_connection = True

    with serving(handle) as address, Session(address, timeouts=Timeouts(stream=1.0)) as talk:
        events = talk.events("/stream")
        assert next(events) == ("message", 1)
        with pytest.raises(errors.Unavailable) as raised:
            next(events)
        release.set()
    assert raised.value.code == "StreamBroken"


def test_uploads_and_downloads_stream() -> None:
    def handle(door: BaseHTTPRequestHandler) -> None:
        assert door.headers["Transfer-Encoding"] == "chunked"
        total = 0
        while size := int(door.rfile.readline(), 16):
            total += len(door.rfile.read(size))
            door.rfile.readline()
        door.rfile.readline()
        body = json.dumps({"stored": total}).encode()
        door.send_response(200)
        door.send_header("Content-Length", str(len(body)))
        door.end_headers()
        door.wfile.write(body)

    with serving(handle) as address, Session(address) as talk:
        assert talk.upload("POST", "/blobs", (b"x" * 1000 for _ in range(10))) == {"stored": 10_000}

    def give(door: BaseHTTPRequestHandler) -> None:
        stream(door)
        for _ in range(3):
            chunk(door, b"y" * 100)
        chunk(door, b"")

    with serving(give) as address, Session(address) as talk:
        with talk.download("/file") as chunks:
            assert sum(map(len, chunks)) == 300
        with talk.download("/file") as chunks:
            pass


def test_a_refused_download_is_its_problem() -> None:
    with (
        session(answering(404, b'{"error": {"code": "LogNotFound", "message": "No such log."}}')) as talk,
        pytest.raises(errors.NotFound) as raised,
        talk.download("/file"),
    ):
        pass
    assert raised.value.code == "LogNotFound"
