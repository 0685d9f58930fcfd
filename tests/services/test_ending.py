"""After a job's end: one that cannot be followed up keeps no other waiting."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from mayfly.engine import ending
from mayfly.engine.ending import Ending
from mayfly.kit.ids import JobId
from mayfly.services import submit
from mayfly.store import jobs
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene, tracking

LOG = "user_logs/std_log.txt"


def ended(stage: Scene) -> JobId:
    job = submit.submit(stage.world, "me", HERE, stage.submission())[0].job.id
    stage.turn()
    (part,) = parts_of(stage.world, job, 1)
    part.prepare()
    part.tell(part.started(), part.exited(0), part.collected(logs={LOG: 3}), part.released())
    return job


def untidy(stage: Scene) -> list[JobId]:
    return [row.job.id for row in stage.world.store.read(lambda connection: jobs.untidy(connection, 10))]


def test_a_log_that_cannot_be_sealed_keeps_no_other_job_waiting(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = ended(stage), ended(stage), ended(stage)
    path = Path(stage.world.state_folder) / "logs" / second / "1" / "0" / LOG
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as unsealable:
        unsealable.bind(path.name)
    duty = Ending(stage.world, tracking(stage.world)[2])
    assert sorted(untidy(stage)) == sorted([first, second, third])
    assert duty.work() == ending.LATE_S and untidy(stage) == [second]
    shutil.rmtree(path.parent)
    assert duty.work() is None and untidy(stage) == []


def test_more_ends_than_are_followed_up_at_once_are_not_left_until_somebody_wakes_it(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "AT_ONCE", 2)
    for _ in range(3):
        ended(stage)
    duty = Ending(stage.world, tracking(stage.world)[2])
    assert duty.work() == 0.0 and len(untidy(stage)) == 1
    assert duty.work() is None and untidy(stage) == []
