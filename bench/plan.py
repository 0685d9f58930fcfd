#!/usr/bin/env python3
"""How long does one decision take at 10,000 nodes, 200 classes and 100,000 queued jobs? Prints JSON.

Three moments: a full fleet (the usual one: every class is looked at, nothing fits), one freed node, an empty fleet (every
head that is shown may start).
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

from mayfly.domain.catalogue import CATALOGUE, own_sizes
from mayfly.domain.compute import Amount, Fleet, Quota, ResourceRequest
from mayfly.domain.queue import JobClass
from mayfly.domain.schedule import plan
from mayfly.kit.clock import Millis
from mayfly.testing.snapshots import family_key, snapshot, waiting_class

NODES, CORES, CLASSES, QUEUED, HEADS = 10_000, 16, 200, 100_000, 16
TIMES = 10


def classes() -> list[JobClass]:
    """Twenty submitters with ten classes each: three priorities, gangs and single nodes, named and default sizes."""
    found = []
    for number in range(CLASSES):
        request = ResourceRequest((None, "local_4", "local_16")[number % 3], 1 + number // 20)
        sequences = [number + CLASSES * head for head in range(HEADS)]
        found.append(
            waiting_class(request, sequences, f"user{number % 20}", 1 + number // 20 % 3, waiting=QUEUED // CLASSES)
        )
    return found


def measure(busy_cores: int) -> dict[str, float]:
    memory = NODES * CORES * 4096
    fleet = Fleet("simulated", Amount(NODES * CORES, memory), own_sizes(CORES, CORES * 4096, 200.0), 200.0)
    rows = {family_key("local"): Quota(NODES * CORES, busy_cores)}
    view = snapshot(fleet, classes(), rows, Amount(busy_cores, busy_cores * 4096), catalogue=CATALOGUE)
    spent = []
    for _ in range(TIMES):
        before = time.perf_counter()
        made = plan(view, Millis(0))
        spent.append((time.perf_counter() - before) * 1000)
    ordered = sorted(spent)
    times = {"milliseconds": ordered[0], "median": ordered[TIMES // 2], "p99": ordered[int(0.99 * (TIMES - 1))]}
    shown = {name: round(found, 2) for name, found in times.items()}
    decisions = len(made.starts) + len(made.waits)
    each = round(times["p99"] / decisions, 3)
    return {**shown, "p99_a_decision": each, "starts": len(made.starts), "waiting_classes": len(made.waits)}


def single() -> dict[str, float]:
    """One class alone, with its explanation: a decision each, where everything is full and where there is room. Milliseconds
    of a processor: what others take of it meanwhile is not the decision's."""
    memory = NODES * CORES * 4096
    fleet = Fleet("simulated", Amount(NODES * CORES, memory), own_sizes(CORES, CORES * 4096, 200.0), 200.0)
    spent = []
    for busy in (NODES * CORES, 0):
        rows = {family_key("local"): Quota(NODES * CORES, busy)}
        for one in classes():
            alone = replace(one, waiting=1, heads=one.heads[:1])
            view = snapshot(fleet, [alone], rows, Amount(busy, busy * 4096), catalogue=CATALOGUE)
            before = time.thread_time()
            plan(view, Millis(0))
            spent.append((time.thread_time() - before) * 1000)
    ordered = sorted(spent)
    return {
        "decisions": len(ordered),
        "median": round(ordered[len(ordered) // 2], 3),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 3),
    }


def measured() -> dict[str, dict[str, float]]:
    total = NODES * CORES
    return {
        "one_decision": single(),
        "full": measure(total),
        "one_node_free": measure(total - CORES),
        "empty": measure(0),
    }


def main() -> None:
    sizes = {"nodes": NODES, "classes": CLASSES, "queued": QUEUED}
    print(json.dumps({"question": "time of one plan", **sizes, **measured()}, indent=2))


if __name__ == "__main__":
    main()
