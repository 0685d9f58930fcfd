#!/usr/bin/env python3
"""How many jobs a second are admitted, in the shape that Kueue publishes its rate for: 30 queues of 5 cohorts, 500 workloads each (350
of 1 core, 100 of 4, 50 of 16; Kueue's have 5 and 20)? Prints JSON. Peer: Kueue's published 42 a second, on machines of its own.

    python bench/admission.py [--served 600]

`simulated`: the pure decision, one plan after the other, each job ending before the next. `served`: the real scheduler over a real
store (SQLite, fsynced), whose machines only say that they are there: what a pass of reservations takes, with the rows it writes.
`decision_ms`: one plan at 10,000 nodes and 200 classes with its explanations. Reach: 500 a second; 2 ms at the 99th of a hundred.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from mayfly.domain.catalogue import CATALOGUE
from mayfly.domain.compute import Amount, LedgerKey, Quota, ResourceRequest
from mayfly.domain.queue import JobClass, Snapshot
from mayfly.domain.quota import Owner
from mayfly.domain.schedule import plan
from mayfly.engine.scheduling import schedule
from mayfly.kit.clock import Millis
from mayfly.services import submissions
from mayfly.store import jobs, schema
from mayfly.store.unit import Store
from mayfly.testing.snapshots import machine, snapshot, standard_rows, waiting_class
from mayfly.testing.world import HERE, scene
from plan import measured  # pyright: ignore[reportMissingImports]

COHORTS, QUEUES = 5, 6
SHAPE = {"local_1": 350, "local_4": 100, "local_16": 50}
CORES = COHORTS * QUEUES * 16
"""Kueue's shape gives each queue the cores of one large workload, and lets it borrow."""
HEADS = 32


def queues() -> list[JobClass]:
    found, first = [], 0
    for cohort in range(COHORTS):
        for queue in range(QUEUES):
            owner = Owner(f"cohort{cohort}", f"queue{cohort}-{queue}")
            for size, count in SHAPE.items():
                numbers = range(first, first + count)
                found.append(waiting_class(ResourceRequest(size), list(numbers), f"user{queue}", owner=owner))
                first += count
    return found


def simulated() -> dict[str, float]:
    fleet = machine(cores=CORES, max_nodes=CORES)
    rows: dict[LedgerKey, Quota] = {}
    for cohort in range(COHORTS):
        for queue in range(QUEUES):
            rows |= standard_rows(fleet, ("local",), Owner(f"cohort{cohort}", f"queue{cohort}-{queue}"))
    waiting = {one.key: one for one in queues()}
    total = sum(len(one.heads) for one in waiting.values())
    admitted, plans, begin = 0, 0, time.perf_counter()
    while waiting:
        seen = tuple(replace(one, waiting=len(one.heads), heads=one.heads[:HEADS]) for one in waiting.values())
        view: Snapshot = snapshot(fleet, seen, rows, Amount(), catalogue=CATALOGUE)
        made = plan(view, Millis(0))
        plans += 1
        gone = {start.job for start in made.starts}
        assert gone, "everything has ended, so something fits"
        admitted += len(gone)
        left = {key: tuple(head for head in one.heads if head.job not in gone) for key, one in waiting.items()}
        waiting = {key: replace(waiting[key], heads=heads) for key, heads in left.items() if heads}
    seconds = time.perf_counter() - begin
    assert admitted == total
    return {"jobs": total, "plans": plans, "a_second": round(total / seconds, 1)}


def served(count: int) -> dict[str, Any]:
    """The same mix, as far as one pass reserves it; a machine that has room for all."""
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as folder:
        url = f"sqlite:///{folder}/mayfly.db"
        store = Store(url, lambda _topics: None)
        schema.upgrade(store)
        store.close()
        stage = scene(Path(folder), url, machine(cores=CORES * 30, max_nodes=CORES * 30))
        shape = [size for size, share in SHAPE.items() for _ in range(share // 50)]
        for number in range(count):
            sent = stage.submission(resources={"instance_type": shape[number % len(shape)]})
            submissions.accept(stage.world, f"user{number % (COHORTS * QUEUES)}", HERE, sent)
        commits, begin = stage.world.store.commits, time.perf_counter()
        schedule(stage.world)
        seconds = time.perf_counter() - begin
        states = Counter(stage.world.store.read(jobs.counts))
        commits = stage.world.store.commits - commits
        stage.world.store.close()
        reserved = count - states["Queued"]
        return {"jobs": count, "reserved": reserved, "commits": commits, "a_second": round(reserved / seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--served", type=int, default=600)
    options = parser.parse_args()
    result = {
        "question": "jobs admitted a second",
        "kueue_published": 42,
        "simulated": simulated(),
        "served": served(options.served),
        "decision_ms": measured(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
