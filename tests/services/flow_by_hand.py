"""A pipeline whose nodes are hands, and small steps for it."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.engine.pipelines import Pipelines
from mayfly.services import jobs, submissions
from mayfly.store import children as children_rows
from mayfly.store import codec
from mayfly.store.jobs import JobRow
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire.agent import OutputManifest
from mayfly.wire.mayfly import JobView, Submission

ENVIRONMENT = {"image": "library/python:latest"}
WRITES = {"command": "true", "environment": ENVIRONMENT, "outputs": {"o": None}}
READS = {"type": "uri_folder", "optional": True}
INNER = {
    "type": "pipeline",
    "inputs": {"raw": {"type": "uri_folder"}, "n": {"type": "integer"}},
    "outputs": {"best": {"type": "uri_folder"}},
    "jobs": {
        "fit": {
            "command": "echo ${{inputs.n}} ${{inputs.d}}",
            "environment": ENVIRONMENT,
            "inputs": {"d": "${{parent.inputs.raw}}", "n": "${{parent.inputs.n}}"},
            "outputs": {"m": "${{parent.outputs.best}}"},
        }
    },
}
NEEDS = {"command": "true", "environment": ENVIRONMENT, "depends_on": ["a"]}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "type": "pipeline",
    "experiment_name": "mine",
    "inputs": {"n": 3, "data": {"type": "uri_folder", "path": "./data"}},
    "outputs": {"model": {"type": "uri_folder"}},
    "jobs": {
        "prep": {**WRITES, "inputs": {"d": "${{parent.inputs.data}}"}},
        "inner": {
            "type": "pipeline",
            "component": INNER,
            "inputs": {"raw": "${{parent.jobs.prep.outputs.o}}", "n": "${{parent.inputs.n}}"},
            "outputs": {"best": "${{parent.outputs.model}}"},
        },
    },
}


class Flow:
    """A pipeline by hand: the duty, the scheduler, and nodes that do what they are told to."""

    def __init__(
        self, stage: Scene, definition: dict[str, Any], uploads: dict[str, str] | None = None, **sent: bytes
    ) -> None:
        self.stage = stage
        uploads = {"/inputs/data/path": stage.upload(**sent)} if sent else dict(uploads or {})
        ask = Submission(definition=definition, uploads=uploads)
        self.id = submissions.accept(stage.world, "me", HERE, ask)[0].job.id
        self.duty = Pipelines(stage.world)
        self.duty.work()

    def child(self, *path: str) -> JobRow:
        at = self.id
        for step in path:
            found = self.stage.world.store.read(lambda c, at=at: children_rows.of(c, at))
            at = next(one.id for one in found if one.step == step)
        return self.stage.row(at)

    def begun(self) -> list[str]:
        return [one.step for one in self.stage.world.store.read(lambda c: children_rows.of(c, self.id))]

    def run(self, *path: str, code: int = 0, **made: dict[str, bytes]) -> dict[str, Any]:
        """The step runs and leaves these outputs; what its node was told."""
        self.stage.turn()
        row = self.child(*path)
        parts = parts_of(self.stage.world, row.job.id, 1)
        for part in parts:
            part.prepare()
        outputs = [
            OutputManifest(name=name, tree=self.stage.upload(**files), files=len(files), bytes=1)
            for name, files in made.items()
        ]
        for part in parts:
            part.tell(part.started(), part.exited(code))
        for part in parts:
            part.tell(part.collected(outputs=tuple(outputs) if part is parts[0] else ()))
            part.tell(part.released())
        self.duty.work()
        return codec.load(row.work)

    def view(self) -> JobView:
        return jobs.view_of(self.stage.world, self.id) or pytest.fail("it is gone")
