import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from mayfly.kit import errors
from mayfly.transfer.http import Retry, Session, Timeouts, parse_events, trusted

Handler = Callable[[httpx.Request], httpx.Response]


def session(handler: Handler, **changes) -> Session:
    return Session(
        "http://127.0.0.1:1", "secret", transport=httpx.MockTransport(handler), sleep=lambda _: None, **changes
    )


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
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        body = json.loads(request.content) if request.content else None
        return httpx.Response(200, json=[request.method, request.url.path, str(request.url.query, "ascii"), body])

    with session(answer) as talk:
        assert talk.get("/a", {"x": 1, "none": None}) == ["GET", "/a", "x=1", None]
        assert talk.post("/b", {"k": "ü"}) == ["POST", "/b", "", {"k": "ü"}]
        assert talk.put("/c", [1]) == ["PUT", "/c", "", [1]]


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
    with pytest.raises(kind) as raised:
        session(lambda _: httpx.Response(status, json=body)).get("/")
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
    with pytest.raises(errors.NotFound) as raised:
        session(lambda _: httpx.Response(404, content=body)).get("/")
    assert raised.value.code == "Http404"


def test_an_answer_that_is_no_json_is_broken() -> None:
    with pytest.raises(errors.Broken) as raised:
        session(lambda _: httpx.Response(200, content=b"<html>")).get("/")
    assert raised.value.code == "AnswerInvalid"


@pytest.mark.parametrize(
    ("failure", "call", "calls"),
    [
        (httpx.ReadError("gone"), lambda s: s.get("/"), 3),
        (httpx.ReadError("gone"), lambda s: s.put("/"), 3),
        (httpx.ReadError("gone"), lambda s: s.post("/"), 1),
        (httpx.ReadError("gone"), lambda s: s.post("/", repeatable=True), 3),
        (httpx.ConnectError("refused"), lambda s: s.post("/"), 3),
        (httpx.ReadTimeout("slow"), lambda s: s.get("/"), 3),
    ],
)
def test_what_may_be_repeated_is(failure: Exception, call: Callable[[Session], None], calls: int) -> None:
    seen = []

    def answer(_: httpx.Request) -> httpx.Response:
        seen.append(1)
        raise failure

    with pytest.raises(errors.Unavailable):
        call(session(answer, retry=Retry(attempts=3)))
    assert len(seen) == calls


def test_a_second_attempt_may_succeed_and_pauses_grow_to_a_bound() -> None:
    answers = iter([httpx.Response(503), httpx.Response(503), httpx.Response(200, json=1)])
    assert session(lambda _: next(answers)).get("/") == 1
    retry = Retry(first_s=0.1, most_s=0.3)
    assert [retry.pause(n) for n in (1, 2, 3, 9)] == [0.1, 0.2, 0.3, 0.3]


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Session(f"http://127.0.0.1:{port}", retry=Retry(attempts=1)) as talk,
        pytest.raises(errors.Unavailable) as raised,
    ):
        talk.get("/")
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


@contextmanager
def serving(handle: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            handle(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chunk(door: BaseHTTPRequestHandler, data: bytes) -> None:
    door.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    door.wfile.flush()


def stream(door: BaseHTTPRequestHandler) -> None:
    door.send_response(200)
    door.send_header("Transfer-Encoding", "chunked")
    door.end_headers()


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
    body = {"error": {"code": "LogNotFound", "message": "No such log."}}
    with (
        session(lambda _: httpx.Response(404, json=body)) as talk,
        pytest.raises(errors.NotFound) as raised,
        talk.download("/file"),
    ):
        pass
    assert raised.value.code == "LogNotFound"
