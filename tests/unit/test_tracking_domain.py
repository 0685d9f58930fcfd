"""What a job may ask of MLflow, and what its requests say."""

from __future__ import annotations

import math

import pytest

from mayfly.domain.tracking import RunRole, TrackedRun, adopted, check, ids_in, route, swap, told
from mayfly.kit.errors import Forbidden, MayflyError
from mayfly.kit.ids import JobId

A, B = "a" * 32, "b" * 32


@pytest.mark.parametrize(
    ("method", "path", "operation", "writes"),
    [
        ("POST", "/api/2.0/mlflow/runs/log-metric", "runs/log-metric", True),
        ("POST", "/api/2.0/mlflow/runs/search", "runs/search", False),
        ("POST", "/api/2.0/mlflow/logged-models/search", "logged-models/search", False),
        ("POST", "/api/2.0/mlflow/model-versions/get-latest-versions", "model-versions/get-latest-versions", False),
        ("POST", "/api/3.0/mlflow/traces/metrics", "traces/metrics", False),
        ("GET", "/api/3.0/mlflow/server-info", "server-info", False),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts", "artifacts/list", False),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/x", "", True),
    ],
)
def test_routes(method: str, path: str, operation: str, writes: bool):
    asked = route(method, path)
    assert (asked.operation, asked.writes) == (operation, writes)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/get-artifact",
        "/graphql",
        "/api/2.0/mlflow/webhooks",
        "/api/3.0/mlflow/gateway/secrets/create",
        "/api/2.0/mlflow/experiments/delete",
        "/api/2.0/mlflow-artifacts/mpu/create/x",
        "/api/2.0/mlflow-artifacts/artifacts/1/../../x",
    ],
)
def test_closed_paths(path: str):
    with pytest.raises(MayflyError):
        route("POST", path)


def test_ids_swap_without_a_change_of_length():
    text = f'{{"run_id": "{A}", "uri": "mlflow-artifacts:/1/{A}/x", "model": "m-{A}", "long": "{A}0"}}'.encode()
    assert ids_in(text) == {A}
    swapped = swap(text, lambda one: B)
    assert len(swapped) == len(text)
    assert swapped.count(B.encode()) == 2


def test_writes_to_another_jobs_run_are_refused():
    runs = {A: TrackedRun(A, B, JobId("theirs"))}
    asked = route("POST", "/api/2.0/mlflow/runs/set-tag")
    with pytest.raises(Forbidden):
        check(asked, "POST", {"run_id": A}, runs, JobId("mine"))
    check(asked, "POST", {"run_id": A}, runs, JobId("theirs"))
    check(asked, "POST", {"run_id": B, "key": "see", "value": A}, runs, JobId("mine"))


def test_what_a_batch_says():
    payload = {
        "metrics": [{"key": "loss", "value": "NaN", "timestamp": "7", "step": "2"}, {"key": "acc", "value": 1}],
        "params": [{"key": "rate", "value": "0.1"}],
        "tags": [{"key": "team", "value": "blue"}, {"key": "mlflow.note", "value": "x"}],
    }
    said = told("runs/log-batch", payload)
    assert math.isnan(said.metrics[0].value)
    assert (said.metrics[0].step, said.metrics[0].timestamp, said.metrics[1].step) == (2, 7, 0)
    assert (said.params, said.tags) == ({"rate": "0.1"}, {"team": "blue"})
    assert not told("runs/update", {"status": "FINISHED"})


def test_a_new_run_gets_the_job_as_parent_unless_it_has_one():
    payload, role = adopted({"experiment_id": "1"}, A, "job")
    assert role is RunRole.STRAY
    assert {"key": "mlflow.parentRunId", "value": A} in payload["tags"]
    payload, role = adopted({"tags": [{"key": "mlflow.parentRunId", "value": B}]}, A, "job")
    assert role is RunRole.CHILD
    assert [tag["value"] for tag in payload["tags"]] == [B, "job"]
