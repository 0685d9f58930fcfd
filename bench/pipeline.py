#!/usr/bin/env python3
"""What does a step cost that an earlier one did already, and how long does a large pipeline take to be checked? Prints JSON.

Services, store (SQLite, fsynced) and controller are the real ones, in this process; the one step that runs does so on a
node that only says it did. `statements` counts SQL, which does not depend on how busy the machine is.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from mayfly.engine.pipelines import Pipelines
from mayfly.kit.errors import MayflyError
from mayfly.services import submissions
from mayfly.store import children as children_rows
from mayfly.store import schema
from mayfly.store.unit import Store
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene, scene
from mayfly.wire.agent import OutputManifest
from mayfly.wire.mayfly import Submission

STEP = {"command": "true", "environment": {"image": "library/python:latest"}, "outputs": {"o": None}}


def pipeline(steps: int, *, chain: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(steps):
        found[f"s{number}"] = {**STEP, "depends_on": [f"s{number - 1}"]} if chain and number else STEP
    return {"type": "pipeline", "jobs": found}


def once(stage: Scene) -> None:
    """The step runs, so that every later one has its results."""
    row, _ = submissions.accept(stage.world, "me", HERE, Submission(definition=pipeline(1, chain=False)))
    duty = Pipelines(stage.world)
    duty.work()
    stage.turn()
    (child,) = stage.world.store.read(lambda connection: children_rows.of(connection, row.job.id))
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
    accepted = time.perf_counter()
    statements = count[0]
    Pipelines(stage.world).work()
    ended = time.perf_counter()
    assert stage.row(row.job.id).job.state.value == "Completed"
    return {
        "steps": steps,
        "accept_ms": round((accepted - before) * 1000, 1),
        "ms_a_step": round((ended - accepted) * 1000 / steps, 2),
        "statements_a_step": round((count[0] - statements) / steps, 1),
    }


def large(stage: Scene, steps: int) -> dict[str, Any]:
    before, said = time.perf_counter(), "accepted"
    try:
        submissions.notes(stage.world, HERE, Submission(definition=pipeline(steps, chain=True)))
    except MayflyError as error:
        said = error.message
    return {"steps": steps, "seconds": round(time.perf_counter() - before, 2), "said": said}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as folder:
        url = f"sqlite:///{folder}/mayfly.db"
        store = Store(url, lambda _topics: None)
        schema.upgrade(store)
        store.close()
        stage = scene(Path(folder), url)
        once(stage)
        result = {
            "question": "what a reused step and a large pipeline cost",
            "side_by_side": reused(stage, 300, chain=False),
            "one_after_the_other": reused(stage, 300, chain=True),
            "checked_3000": large(stage, 3_000),
            "checked_10000": large(stage, 10_000),
        }
        stage.world.store.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
