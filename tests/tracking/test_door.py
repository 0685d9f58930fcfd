"""The door itself: ids, refusals, first use at once from many threads, a server that dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from mayfly.domain.job import JobState
from mayfly.kit.clock import Millis


def wait_until(true: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        threading.Event().wait(0.02)


def test_a_job_that_never_tracks_never_pays(world):
    class Untouched:
        def request(self, *_: object) -> None:
            raise AssertionError("the server was asked")

        prewarm = close = request

    world.other(Untouched())[1].finish(world.job(), JobState.COMPLETED, Millis(1))


def test_first_use_from_many_threads_makes_one_run(world):
    job = world.job("crowd")
    threads = [
        threading.Thread(
            target=world.ask,
            args=(
                job,
                "POST",
                "runs/log-metric",
                {"run_id": job.run, "key": "k", "value": i, "timestamp": i, "step": i},
            ),
        )
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(world.rows.metrics(job.job)["k"]) == list(range(8))
    found = world.ask(job, "GET", "experiments/get-by-name", experiment_name="crowd").json()["experiment"]
    runs = world.ask(job, "POST", "runs/search", {"experiment_ids": [found["experiment_id"]]}).json()["runs"]
    assert [run["info"]["run_id"] for run in runs] == [job.run]


def test_a_crash_between_mlflow_and_our_row_leaves_one_run(world):
    job = world.job("crash")
    log = {"run_id": job.run, "key": "k", "value": 1, "timestamp": 1}
    assert world.ask(job, "POST", "runs/log-metric", log).status_code == 200
    kept = world.rows.runs.pop(job.run)
    door = world.other(world.server, world.rows)[0]
    assert door.forward(job, "GET", "/api/2.0/mlflow/runs/get", f"run_id={job.run}").status == 200
    assert world.rows.runs[job.run] == kept


def test_answers_keep_their_length_and_speak_our_id(world):
    job = world.job()
    answer = world.door.forward(job, "GET", "/api/2.0/mlflow/runs/get", f"run_id={job.run}")
    content = b"".join(answer.body)
    assert dict(answer.headers)["content-length"] == str(len(content))
    assert job.run.encode() in content
    assert world.rows.runs[job.run].mlflow_run.encode() not in content


def test_another_jobs_run_may_be_read_and_not_written(world):
    mine, other = world.job(), world.job()
    log = {"run_id": other.run, "key": "k", "value": 1, "timestamp": 1}
    assert world.ask(other, "POST", "runs/log-metric", log).status_code == 200
    theirs = world.rows.runs[other.run].mlflow_run
    assert world.ask(mine, "GET", "runs/get", run_id=other.run).json()["run"]["info"]["run_id"] == other.run
    for run in (other.run, theirs):
        refused = world.ask(mine, "POST", "runs/log-metric", {**log, "run_id": run})
        assert (refused.status_code, refused.json()["error_code"]) == (403, "PERMISSION_DENIED")
        path = f"/api/2.0/mlflow-artifacts/artifacts/1/{run}/artifacts/x"
        assert world.door.forward(mine, "PUT", path, body=b"x").status == 403
        assert world.door.forward(mine, "DELETE", path).status == 403
    assert world.rows.metrics(mine.job) == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/2.0/mlflow/experiments/delete", b"{}", 403),
        ("POST", "/api/2.0/mlflow/experiments/create", b'{"name":"x","artifact_location":"file:///etc"}', 403),
        ("POST", "/api/2.0/mlflow/webhooks", b"{}", 404),
        ("GET", "/ajax-api/2.0/mlflow/runs/get", b"", 404),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/../mlflow.db", b"", 403),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/%2E%2e/mlflow.db", b"", 403),
        ("GET", "/health", b"", 404),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/elsewhere", b"x", 403),
    ],
)
def test_refused(world, method: str, path: str, body: bytes, status: int):
    assert world.door.forward(world.job(), method, path, body=body).status == status


def test_a_killed_server_comes_back_with_all_it_had(world):
    job = world.job()
    log = {"run_id": job.run, "key": "k", "value": 1, "timestamp": 1}
    assert world.ask(job, "POST", "runs/log-metric", log).status_code == 200
    before = world.server.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: world.server.pid != before)
    answer = world.ask(job, "GET", "runs/get", run_id=job.run)
    assert answer.json()["run"]["data"]["metrics"][0]["value"] == 1
