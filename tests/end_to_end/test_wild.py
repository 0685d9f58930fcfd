"""Jobs that take all they can get, and readers that take nothing: whoever is beside them does not notice."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mayfly.testing.chance import ALL
from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault, pytest.mark.timeout(900 if ALL else 180)]

BYTES = 1_000_000_000 if ALL else 30_000_000
FORKS = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n"
SMALL = {"resources": {"instance_type": "local_1"}}


@pytest.mark.skipif(not ALL, reason="thousands of processes would disturb the tests beside it: scripts/soak world")
def test_a_fork_bomb_keeps_to_its_limits(embedded: Embedded) -> None:
    name = embedded.post({**HELLO, **SMALL, "command": f"echo begun; python -c '{FORKS}'"})
    embedded.wait_log(name, "begun\n")
    before = _processes()
    until(lambda: _processes() > before + 1_000)
    other = embedded.post({**HELLO, **SMALL})
    embedded.wait(other, "Completed", 120)
    embedded.call("POST", f"/jobs/{name}/cancel", {})
    embedded.wait(name, "Canceled", 120)
    until(lambda: _processes() < before + 100)


def test_readers_that_do_not_read_hold_up_nobody(embedded: Embedded) -> None:
    line = "0123456789abcdef0123456789abcdef"
    before = _memory_mib(embedded)
    name = embedded.post({**HELLO, "command": f"yes {line} | head -c {BYTES}"})
    with _stopped_stream(embedded, name), _deaf_reader(embedded, name):
        embedded.wait(name, "Completed", 600)
        assert _memory_mib(embedded) < before + 200
        assert embedded.log(name) == (f"{line}\n" * (BYTES // 33 + 1))[:BYTES]


def _processes() -> int:
    """Of the whole machine: to ask each whose it is takes minutes."""
    return sum(place.name.isdigit() for place in Path("/proc").iterdir())


@contextmanager
def _stopped_stream(one: Embedded, name: str) -> Iterator[None]:
    """A person whose terminal has stopped."""
    with one.begin("job", "stream", "-n", name) as stream:
        assert stream.stdout is not None and stream.stdout.readline()
        os.kill(stream.pid, signal.SIGSTOP)
        yield
        stream.kill()


@contextmanager
def _deaf_reader(one: Embedded, name: str) -> Iterator[None]:
    host, _, port = one.record["url"].removeprefix("http://").partition(":")
    token = (one.folder / "token").read_text().strip()
    ask = f"GET {WORKSPACE}/jobs/{name}/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    with closing(socket.create_connection((host, int(port)))) as caller:
        caller.sendall(ask.encode())
        yield


def _memory_mib(one: Embedded) -> int:
    status = Path(f"/proc/{one.record['pid']}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10
