#!/usr/bin/env python3
"""What does a step cost that an earlier one did already, what does a large pipeline cost, and whom does it hold up? Prints JSON.

    python bench/pipeline.py [--peers PYTHON] [--steps 10000]

Services, store (SQLite, fsynced) and controller are the real ones, in this process; the steps that run do so on a node that
only says they did. `statements` counts SQL, which does not depend on how busy the machine is. `--peers`: an interpreter that
has Luigi, Metaflow or Dagster; what it has not is said. Reach: a reused step in 20 ms, 1,000 of them in 5 s, submissions of
others within 1.5 times their time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from mayfly.engine.pipelines import Pipelines
from mayfly.kit.errors import MayflyError
from mayfly.main.server import share_interpreter
from mayfly.services import submissions
from mayfly.store import children, schema
from mayfly.store.unit import Store
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene, scene
from mayfly.wire.agent import OutputManifest
from mayfly.wire.mayfly import Submission

STEP = {"command": "cat ${{inputs.i}}", "environment": {"image": "library/python:latest"}, "outputs": {"o": None}}
FIRST = {**STEP, "inputs": {"i": 0}}
OTHERS = 40
"""Submissions of another person whose times are taken, without and with a large pipeline under way."""


def pipeline(steps: int, *, chain: bool) -> dict[str, Any]:
    """Steps that are all alike, or each reading what the one before it made."""
    found: dict[str, Any] = {"s0": FIRST}
    for number in range(1, steps):
        reads = {"i": {"path": f"${{{{parent.jobs.s{number - 1}.outputs.o}}}}"}}
        found[f"s{number}"] = {**STEP, "inputs": reads} if chain else FIRST
    return {"type": "pipeline", "jobs": found}


def once(stage: Scene) -> None:
    """Two steps run, the one reading what the other made, so that every later one has its results."""
    row, _ = submissions.accept(stage.world, "me", HERE, Submission(definition=pipeline(2, chain=True)))
    duty = Pipelines(stage.world)
    for number in range(2):
        duty.work()
        stage.turn()
        child = stage.world.store.read(lambda connection: children.of(connection, row.job.id))[number]
        (part,) = parts_of(stage.world, child.id, 1)
        part.prepare()
        part.tell(part.started(), part.exited(0))
        part.tell(part.collected(outputs=(OutputManifest(name="o", tree=stage.upload(x=b"1"), files=1, bytes=1),)))
        part.tell(part.released())
    duty.work()


def reused(stage: Scene, steps: int, *, chain: bool) -> dict[str, Any]:
    count = [0]
    event.listen(Engine, "before_cursor_execute", lambda *_: count.__setitem__(0, count[0] + 1))
    before = time.perf_counter()
    row, _ = submissions.accept(stage.world, "me", HERE, Submission(definition=pipeline(steps, chain=chain)))
    accepted, busy = time.perf_counter(), time.process_time()
    statements = count[0]
    Pipelines(stage.world).work()
    ended, spent = time.perf_counter(), time.process_time() - busy
    assert stage.row(row.job.id).job.state.value == "Completed"
    return {
        "steps": steps,
        "seconds": round(ended - accepted, 2),
        "accept_ms": round((accepted - before) * 1000, 1),
        "ms_a_step": round((ended - accepted) * 1000 / steps, 2),
        "processor_ms_a_step": round(spent * 1000 / steps, 2),
        "statements_a_step": round((count[0] - statements) / steps, 1),
    }


def large(stage: Scene, steps: int) -> dict[str, Any]:
    before, said = time.perf_counter(), "accepted"
    try:
        submissions.notes(stage.world, HERE, Submission(definition=pipeline(steps, chain=True)))
    except MayflyError as error:
        said = error.message
    return {"steps": steps, "seconds": round(time.perf_counter() - before, 2), "said": said}


def others(stage: Scene, steps: int) -> dict[str, Any]:
    """What somebody else's submissions take while a large pipeline of reused steps goes on."""
    alone = _submissions(stage)
    submissions.accept(stage.world, "me", HERE, Submission(definition=pipeline(steps, chain=False)))
    goes_on = threading.Thread(target=Pipelines(stage.world).work)
    goes_on.start()
    time.sleep(0.2)
    beside = _submissions(stage)
    under_way = goes_on.is_alive()
    goes_on.join()
    return {
        "steps": steps,
        "alone_p95_ms": round(alone, 1),
        "beside_p95_ms": round(beside, 1),
        "times": round(beside / alone, 2),
        "under_way_to_the_end": under_way,
    }


def _submissions(stage: Scene) -> float:
    found = []
    for _ in range(OTHERS):
        before = time.perf_counter()
        submissions.accept(stage.world, "other", HERE, stage.submission())
        found.append((time.perf_counter() - before) * 1000)
        time.sleep(0.02)
    return sorted(found)[int(len(found) * 0.95) - 1]


def peers(interpreter: str | None) -> Any:
    if interpreter is None:
        return "not asked for (--peers PYTHON)"
    script = Path(__file__).with_name("pipeline_peers.py")
    done = subprocess.run([interpreter, str(script)], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr[-500:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers")
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    share_interpreter()
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as folder:
        url = f"sqlite:///{folder}/mayfly.db"
        store = Store(url, lambda _topics: None)
        schema.upgrade(store)
        store.close()
        stage = scene(Path(folder), url)
        once(stage)
        result = {
            "question": "what a reused step and a large pipeline cost, and whom it holds up",
            "side_by_side": reused(stage, 1_000, chain=False),
            "one_after_the_other": reused(stage, 1_000, chain=True),
            "checked": large(stage, options.steps),
            "to_its_end": reused(stage, options.steps, chain=True),
            "others": others(stage, 5_000),
            "peers": peers(options.peers),
        }
        stage.world.store.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
