"""How fast are jobs accepted over HTTP, durably, by one client, by 32, and 5,000 in one call? Beside it, in the same run and in turns,
two floors: bare SQLite commits (WAL, synchronous=FULL) of as many bytes, one after the other; and such commits by a bare handler
of the server's own HTTP parts (`bare_door.py`), asked by the same client.

    python bench/submit.py [--rounds 5]

A real server whose machine is busy, so that what it accepts waits. Prints JSON; rates a second, medians over the rounds with
the lowest and the highest. `fsyncs_an_accept` is counted by strace in rounds of their own, because it slows the server down.
Reach: one client 80 % of the bare rate and one fsync each; 32 clients 300 a second and 0.1; one call 5,000 a second, one fsync.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded

ALONE, MANY, EACH, BATCH = 100, 32, 20, 5_000
BODY = json.dumps({"definition": HELLO}).encode()


class Client:
    """One connection that stays open, as lean as the standard library has it."""

    def __init__(self, address: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    @classmethod
    def of(cls, server: Embedded) -> Client:
        return cls(urlsplit(server.record["url"]).netloc, (server.folder / "token").read_text().strip())

    def post(self, path: str, body: bytes) -> bytes:
        self._connection.request("POST", WORKSPACE + path, body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        assert answer.status in (200, 201), said
        return said

    def submit(self, times: int) -> None:
        for _ in range(times):
            self.post("/jobs", BODY)


def alone(client: Client) -> float:
    client.submit(3)
    return ALONE / _seconds(lambda: client.submit(ALONE))


def many(server: Embedded) -> float:
    threads = [threading.Thread(target=Client.of(server).submit, args=(EACH,)) for _ in range(MANY)]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return MANY * EACH / _seconds(all_of_them)


def batch(server: Embedded) -> float:
    body = json.dumps({"jobs": [{"definition": HELLO}] * BATCH}).encode()
    client = Client.of(server)
    return BATCH / _seconds(lambda: client.post("/jobs:batch", body))


def bare(folder: Path) -> float:
    """One insert of what a job's row has, and its commit, again and again."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        connection = sqlite3.connect(Path(name) / "bare.db", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE jobs (sequence INTEGER PRIMARY KEY, body TEXT)")

        def commits() -> None:
            for _ in range(ALONE):
                connection.execute("INSERT INTO jobs (body) VALUES (?)", ("x" * 2500,))

        rate = ALONE / _seconds(commits)
        connection.close()
        return rate


@contextmanager
def bare_door(folder: Path) -> Iterator[str]:
    """Where a bare handler listens that commits what it gets."""
    command = [sys.executable, str(Path(__file__).with_name("bare_door.py")), str(folder / "door.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()  # it has nothing to save


def fsyncs(server: Embedded, work: Callable[[], Any]) -> Any:
    """How often the server waited for the disk meanwhile."""
    if shutil.which("strace") is None:
        return "strace is not here"
    with tempfile.NamedTemporaryFile() as found:
        tracer = subprocess.Popen(
            ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", found.name, "-p", str(server.record["pid"])],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1)
        work()
        tracer.terminate()
        tracer.wait()
        return sum("sync(" in line for line in Path(found.name).read_text().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name))
        server.start()
        try:
            size = f"local_{os.cpu_count()}"
            busy = server.post({**HELLO, "command": "sleep 3600", "resources": {"instance_type": size}})
            server.wait(busy, "Running")
            kinds = {"one": lambda one: alone(Client.of(one)), "many": many, "batch": batch}
            found: dict[str, list[float]] = {"bare": [], "bare_door": [], **{kind: [] for kind in kinds}}
            with bare_door(server.place) as door:
                for _ in range(rounds):
                    found["bare_door"].append(alone(Client(door, "")))
                    for kind, measure in kinds.items():
                        found["bare"].append(bare(server.place))
                        found[kind].append(measure(server))
            counted = {kind: fsyncs(server, lambda measure=measure: measure(server)) for kind, measure in kinds.items()}
            print(json.dumps(_result(found, counted), indent=1))
        finally:
            server.finish()


def _result(found: dict[str, list[float]], counted: dict[str, Any]) -> dict[str, object]:
    jobs = {"one": ALONE + 3, "many": MANY * EACH, "batch": BATCH}
    each = {kind: count if isinstance(count, str) else round(count / jobs[kind], 4) for kind, count in counted.items()}
    bare_rate = statistics.median(found["bare"])
    return {
        "question": "durable submissions over HTTP",
        "a_second": {kind: _spread(rates) for kind, rates in found.items()},
        "share_of_bare": round(statistics.median(found["one"]) / bare_rate, 2),
        "share_of_bare_door": round(statistics.median(found["one"]) / statistics.median(found["bare_door"]), 2),
        "fsyncs_an_accept": each,
        "fsyncs_of_the_batch": counted["batch"],
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
    }


def _spread(rates: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(rates), 1), "min": round(min(rates), 1), "max": round(max(rates), 1)}


def _seconds(work: Callable[[], Any]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
