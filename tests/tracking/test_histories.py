"""The history of a metric: from our rows for a job's own run, from MLflow for all others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mayfly.services.attempts import speaker
from mayfly.services.mlflow import Mlflow
from mayfly.services.submit import submit
from mayfly.services.tokens import Principal
from mayfly.testing.databases import Databases
from mayfly.testing.world import HERE, scene, tracking

JSON = [("Content-Type", "application/json")]
POINTS = [{"key": "k", "value": value, "timestamp": 9, "step": step} for step, value in enumerate([1.5, "NaN", 2.5])]


def test_a_jobs_own_run_is_told_from_rows_in_pages_and_in_curves(world, tmp_path: Path, databases: Databases):
    stage = scene(tmp_path, databases.fresh("sqlite", tmp_path))
    home = replace(stage.world, mlflow=Mlflow(world.server))
    door, pages, _ = tracking(home)
    row, _ = submit(home, "ada", HERE, stage.submission(experiment_name="histories"))
    attempt = speaker(home, row.job.id)
    assert attempt is not None

    def ask(method: str, operation: str, content: dict | None = None, query: str = "") -> tuple[int, dict]:
        body = json.dumps(content).encode() if content is not None else b""
        answer = door.forward(attempt, method, f"/api/2.0/mlflow/{operation}", query, JSON, body)
        return answer.status, json.loads(b"".join(answer.body) or b"{}")

    def history(query: str) -> tuple[int, dict]:
        return ask("GET", "metrics/get-history", query=f"run_id={row.run}&metric_key=k{query}")

    assert ask("POST", "runs/log-batch", {"run_id": row.run, "metrics": POINTS})[0] == 200
    first = history("&max_results=2")[1]
    assert first["metrics"] == POINTS[:2]
    assert history(f"&max_results=2&page_token={first['next_page_token']}")[1] == {"metrics": POINTS[2:]}
    assert history("")[1]["metrics"] == POINTS
    assert ask("GET", "metrics/get-history", query=f"run_id={row.run}&metric_key=none") == (200, {})
    assert history("&max_results=0")[0] == 400  # in MLflow's own words

    def curve(run: str, workspace: str = row.workspace) -> list[dict]:
        who = Principal("pages", f"{home.clock.now() + 1000}/{workspace}/ada")
        path, query = "ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", f"run_ids={run}&metric_key=k"
        answer = pages.ask(who, workspace, "GET", path, f"{query}&max_results=2", JSON, b"")
        return json.loads(b"".join(answer.body))["metrics"]

    assert curve(row.run) == [{**point, "run_id": row.run} for point in (POINTS[0], POINTS[2])]

    experiment = ask("GET", "runs/get", query=f"run_id={row.run}")[1]["run"]["info"]["experiment_id"]
    made = ask("POST", "runs/create", {"experiment_id": experiment})[1]["run"]["info"]["run_id"]
    late = {"key": "k", "value": 7.0, "timestamp": 9, "step": 9}
    assert ask("POST", "runs/log-metric", {"run_id": made, **late})[0] == 200
    assert [one["step"] for one in history("")[1]["metrics"]] == [0, 1, 2]  # MLflow's: the job's other run is another
    assert [one["step"] for one in curve(made)] == [9]
