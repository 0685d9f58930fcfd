"""How long from a job's line to those who follow it, one and 1,000 of them, and what does `job show` take meanwhile? Beside it, in
turns, the floor: the same program's lines out of a pipe to as many connections, by a bare asyncio server.

    python bench/stream.py [--streams 1000] [--seconds 10]

A real server, node and job; all clients are in this process, whose own time is in every number, the floor's included. Prints JSON,
milliseconds. Reach: 10 ms at the median of one stream, 500 ms at the 99th of a hundred of 1,000.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import platform
import selectors
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded

EVERY_S = 0.25
LINES = f"import time\nwhile True: print('at', time.time_ns(), flush=True); time.sleep({EVERY_S})"


class Followers:
    """Plain connections; for each line that comes to each, how old it is."""

    def __init__(self, host: str, request: bytes, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets = []
        for _ in range(count):
            one = socket.create_connection((host.split(":")[0], int(host.split(":")[1])))
            one.sendall(request)
            self._selector.register(one, selectors.EVENT_READ)
            self._sockets.append(one)

    def ages(self, seconds: float, settle: float) -> list[float]:
        """Of the lines that come after the first seconds, in which each connection is opened and has caught up."""
        found, begin = [], time.time_ns()
        since = begin + settle * 1e9
        while time.time_ns() < since + seconds * 1e9:
            for key, _ in self._selector.select(0.1):
                data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                now = time.time_ns()
                for part in data.split(b"at ")[1:]:
                    stamp = part[:19]
                    if stamp.isdigit() and len(stamp) == 19 and int(stamp) > since:
                        found.append((now - int(stamp)) / 1e6)
        return found

    def close(self) -> None:
        for one in self._sockets:
            one.close()


def ours(server: Embedded, count: int, seconds: float) -> dict[str, Any]:
    job = server.post({**HELLO, "command": f'python -c "{LINES}"'})
    server.wait(job, "Running")
    token = (server.folder / "token").read_text().strip()
    request = f"GET {WORKSPACE}/jobs/{job}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    followers = Followers(urlsplit(server.record["url"]).netloc, request.encode(), count)
    shown: list[float] = []
    over = threading.Event()
    looking = threading.Thread(target=_shows, args=(server, job, shown, over))
    looking.start()
    ages = followers.ages(seconds, 1 + count / 200)
    over.set()
    looking.join()
    followers.close()
    server.call("POST", f"/jobs/{job}/cancel", {"reason": ""})
    server.wait(job)
    return {"lines": _spread(ages), "show": _spread(shown)}


def _shows(server: Embedded, job: str, shown: list[float], over: threading.Event) -> None:
    while not over.wait(0.1):
        before = time.perf_counter()
        server.job(job)
        shown.append((time.perf_counter() - before) * 1000)


def floor(count: int, seconds: float) -> dict[str, Any]:
    told, tells = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=lambda: asyncio.run(_serve(tells)), daemon=True)
    process.start()
    port = told.recv()
    followers = Followers(f"127.0.0.1:{port}", b"GET / HTTP/1.1\r\n\r\n", count)
    ages = followers.ages(seconds, 1 + count / 200)
    followers.close()
    process.kill()
    process.join()
    return {"lines": _spread(ages)}


async def _serve(tells: Any) -> None:
    writers: set[asyncio.StreamWriter] = set()

    async def come(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writers.add(writer)

    server = await asyncio.start_server(come, "127.0.0.1", 0, backlog=2048)
    tells.send(server.sockets[0].getsockname()[1])
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", LINES, stdout=asyncio.subprocess.PIPE)
    assert program.stdout is not None
    with contextlib.suppress(asyncio.CancelledError):
        async for line in program.stdout:
            for writer in writers:
                writer.write(b"event: log\ndata: " + line + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name))
        server.start()
        try:
            found = {
                str(count): {
                    "ours": ours(server, count, options.seconds),
                    "floor": floor(count, options.seconds),
                }
                for count in (1, options.streams)
            }
        finally:
            server.finish()
    machine = {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    print(json.dumps({"question": "a line to those who follow", **found, "machine": machine}, indent=1))


def _spread(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    at = {"median": 0.5, "p95": 0.95, "p99": 0.99}
    return {"count": len(ordered)} | {name: round(ordered[int(q * (len(ordered) - 1))], 1) for name, q in at.items()}


if __name__ == "__main__":
    main()
