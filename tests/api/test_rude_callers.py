"""Callers that speak no proper HTTP, or take their time with it: refused, and nobody else waits for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx

from mayfly.testing.serving import WS, House


@contextmanager
def line(house: House) -> Iterator[socket.socket]:
    url = urlsplit(house.url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as found:
        yield found


def asked(house: House, head: str, body: bytes = b"") -> int:
    """The status that raw bytes are answered with; 0 where the line is cut."""
    with line(house) as one:
        one.sendall(head.replace("\n", "\r\n").encode("latin-1") + body)
        try:
            answer = one.recv(65536)
        except ConnectionResetError:
            return 0
    return int(answer.split(b" ", 2)[1]) if answer else 0


RUDE = {
    "a header of 200 KiB": "GET {server} HTTP/1.1\nHost: x\nX-Long: {long}\nAuthorization: Bearer {token}\n\n",
    "two lengths": "POST {jobs} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\nContent-Length: 2\nContent-Length: 30\n\n{{}}",
    "a negative length": "POST {jobs} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\nContent-Length: -1\n\n{{}}",
    "a length in words": "POST {jobs} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\nContent-Length: two\n\n{{}}",
    "no HTTP at all": "EHLO example.org\n\n\n",
    "a header without a name": "GET {server} HTTP/1.1\nHost: x\n: y\nAuthorization: Bearer {token}\n\n",
    "an unknown encoding": "POST {jobs} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\nTransfer-Encoding: gzip\n\n{{}}",
}


def test_what_is_no_proper_request_is_refused_and_the_server_goes_on(house: House, ann: httpx.Client) -> None:
    given = {"server": "/mayfly/v1/server", "jobs": f"{WS}/jobs", "token": house.token("user", "ann")}
    for what, head in RUDE.items():
        status = asked(house, head.format(**given, long="x" * 200_000))
        assert status in (0, 400, 405, 413, 422, 431, 501), (what, status)
        assert ann.get("/mayfly/v1/server").status_code == 200, what
    assert ann.get(f"{WS}/jobs").json()["jobs"] == []


ELSEWHERE = (
    "/mayfly/v1/subscriptions/..%2f..%2f/resourceGroups/a/workspaces/b/jobs",
    f"{WS}/jobs/%00",
    f"{WS}/jobs/..%2f..%2fsecret",
    f"{WS}/jobs/x/logs/..%2f..%2f..%2fsecret",
    f"{WS}/jobs/{'x' * 5000}",
    f"{WS}/content/trees/..%2f..%2fsecret",
    "/logfiles/x/..%2f..%2f..%2fsecret?se=9999999999999&sig=x",
    "/%2e%2e/secret",
)


def test_a_path_that_leads_elsewhere_finds_nothing(house: House, ann: httpx.Client) -> None:
    for path in ELSEWHERE:
        answer = ann.get(path)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert "Traceback" not in answer.text and house.stage.world.state_folder not in answer.text


def test_many_that_do_not_finish_what_they_say_hold_up_nobody(house: House, ann: httpx.Client) -> None:
    with ExitStack() as lines:
        for number in range(150):
            one = lines.enter_context(line(house))
            token = house.token("user", "ann")
            half = f"POST {WS}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 5000\r\n"
            one.sendall((half if number % 3 == 0 else half + "\r\n" if number % 3 == 1 else half + "\r\n{").encode())
        began = time.monotonic()
        for _ in range(5):
            assert ann.get("/mayfly/v1/server").status_code == 200
        assert ann.post(f"{WS}/jobs", json=house.body(name="one")).status_code == 201
        assert time.monotonic() - began < 10
