"""What do 100,000 queued jobs cost, and 10,000 jobs of history with 1,000,000 metric points? Beside them, in turns, the same requests
to a server that has neither.

    python bench/crowd.py [--queued 100000] [--ended 10000] [--points 1000000]

Two real servers whose machines are busy; the rows of the crowded one are copies of jobs that it had. Prints JSON, milliseconds.
Reach: submit p95 twice the empty one; list page, show, metric page, scheduler pass 100 ms; 200 MB more memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mayfly.domain.catalogue import CATALOGUE
from mayfly.domain.schedule import plan
from mayfly.kit.clock import Millis
from mayfly.store import waiting
from mayfly.store.unit import Store
from mayfly.testing.embedded import HELLO, Embedded
from mayfly.testing.snapshots import machine

CORES = os.cpu_count() or 1
BUSY = {**HELLO, "command": "sleep 3600", "resources": {"instance_type": f"local_{CORES}"}}
WAITS = {**HELLO, "resources": {"instance_type": f"local_{CORES}"}}
CLASSES = 20


def begin(place: Path) -> tuple[Embedded, str]:
    """A server with one job that has ended, one that runs and one that waits; the name of the first."""
    server = Embedded(place)
    server.start()
    done = server.post(HELLO)
    server.wait(done)
    server.wait(server.post(BUSY), "Running")
    server.post(WAITS)
    time.sleep(1)
    return server, done


@contextmanager
def rows(server: Embedded) -> Iterator[sqlite3.Connection]:
    server.kill_server()
    connection = sqlite3.connect(server.folder / "mayfly.db", isolation_level=None)
    connection.execute("BEGIN")
    yield connection
    connection.execute("COMMIT")
    connection.close()
    server.start()


def crowd(connection: sqlite3.Connection, done: str, queued: int, ended: int, points: int) -> None:
    """Copies, each under an id, a name and a run of its own."""
    waits = connection.execute("SELECT id FROM jobs WHERE state = 'Queued'").fetchone()[0]
    ended_id = connection.execute("SELECT id FROM jobs WHERE name = ?", (done,)).fetchone()[0]
    own = {"id": "'job_copy' || :kind || n", "name": "'copy-' || :kind || n", "run": "printf('%s%031d', :kind, n)"}
    others = {"class_key": f"replace(class_key, submitter, 'user' || (n % {CLASSES}))"}
    _copy(
        connection, "jobs", f"id = '{waits}'", "a", queued, {**own, **others, "submitter": f"'user' || (n % {CLASSES})"}
    )
    for table in ("jobs", "attempts", "ranks", "outputs", "labels"):
        mine = own if table == "jobs" else {"job": own["id"]}
        where = "id" if table == "jobs" else "job"
        _copy(connection, table, f"{where} = '{ended_id}'", "b", ended, mine)
    # a tenth of the points is one job's, under ten keys
    connection.execute(
        "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < :points) "
        "INSERT INTO metrics (job, attempt, key, value, step, timestamp) SELECT "
        "CASE WHEN n % 10 = 0 THEN 'job_copyb1' ELSE 'job_copyb' || (n % :ended) END, 1, 'key' || (n / 10 % 10), n, n, n FROM c",
        {"points": points, "ended": ended},
    )


def _copy(connection: sqlite3.Connection, table: str, which: str, kind: str, count: int, own: dict[str, str]) -> None:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "sequence"]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(own.get(name, f't."{name}"') for name in names)
    connection.execute(
        "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < :count) "
        f"INSERT INTO {table} ({columns}) SELECT {values} FROM c, (SELECT * FROM {table} WHERE {which}) t",
        {"count": count, "kind": kind},
    )


def measure(server: Embedded, name: str) -> dict[str, Callable[[], Any]]:
    """What a person asks."""
    return {
        "submit": lambda: server.post(WAITS),
        "list": lambda: server.call("GET", "/jobs?limit=100"),
        "list_queued": lambda: server.call("GET", "/jobs?limit=100&state=Queued"),
        "list_failed": lambda: server.call("GET", "/jobs?limit=100&state=Failed"),
        "list_ended": lambda: server.call("GET", "/jobs?limit=100&state=Completed"),
        "show": lambda: server.job(name),
        "metrics": lambda: server.call("GET", f"/jobs/{name}/metrics?limit=1000"),
        "metrics_of_a_key": lambda: server.call("GET", f"/jobs/{name}/metrics?limit=1000&key=key3"),
        "usage": lambda: server.call("GET", "/usage"),
    }


def passes(server: Embedded) -> list[float]:
    """One look of the scheduler at the queue and its decision, without writing it down."""
    store, found = Store(f"sqlite:///{server.folder / 'mayfly.db'}", lambda _: None), []
    for _ in range(5):
        before = time.perf_counter()
        view = store.read(lambda c: waiting.snapshot(c, machine(cores=CORES), CATALOGUE, counted=False))
        plan(view, Millis(int(time.time() * 1000)))
        for one in view.classes:
            store.read(lambda c, one=one: waiting.not_in_phase(c, one.key, "quota"))
        found.append((time.perf_counter() - before) * 1000)
    store.close()
    return found


def memory(server: Embedded) -> int:
    """MiB of its own."""
    status = Path(f"/proc/{server.record['pid']}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, count in (("--queued", 100_000), ("--ended", 10_000), ("--points", 1_000_000)):
        parser.add_argument(option, type=int, default=count)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as folder:
        empty, name = begin(Path(folder) / "empty")
        full, done = begin(Path(folder) / "full")
        try:
            with rows(full) as connection:
                crowd(connection, done, options.queued, options.ended, options.points)
            with rows(empty):
                pass
            asked = {"empty": measure(empty, name), "full": measure(full, "copy-b1")}
            found: dict[str, dict[str, list[float]]] = {who: {what: [] for what in asked[who]} for who in asked}
            for _ in range(options.rounds):
                for what in asked["empty"]:
                    for who, calls in asked.items():
                        before = time.perf_counter()
                        calls[what]()
                        found[who][what].append((time.perf_counter() - before) * 1000)
            result = {
                "question": "what a long queue and a long history cost",
                **{who: {what: _spread(times) for what, times in told.items()} for who, told in found.items()},
                "scheduler_pass_ms": {"empty": _spread(passes(empty)), "full": _spread(passes(full))},
                "memory_mib": {"empty": memory(empty), "full": memory(full)},
                "machine": {"system": platform.platform(), "cores": CORES, "load": os.getloadavg()[0]},
            }
            print(json.dumps(result, indent=1))
        finally:
            for server in (empty, full):
                server.end_all()


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": round(ordered[len(ordered) // 2], 1), "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1)}


if __name__ == "__main__":
    main()
