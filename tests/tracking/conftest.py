"""One real MLflow server for all tests here, behind the door and a small HTTP front that plays the gateway."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from mayfly.domain.tracking import MetricValue, RunRole, Tracked, TrackedRun
from mayfly.drivers.mlflow_server import MlflowServer
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, RunId
from mayfly.ports.tracking import FeedPiece, Response, TrackingServer
from mayfly.services.feeding import Feeder
from mayfly.services.mlflow import Mlflow
from mayfly.services.runs import AttemptContext, Runs
from mayfly.services.tracking import TrackingDoor


@dataclass
class Rows:
    """Rows in memory."""

    runs: dict[str, TrackedRun] = field(default_factory=dict)
    told: list[tuple[JobId, int, Tracked]] = field(default_factory=list)

    def bind(self, run: TrackedRun) -> TrackedRun:
        return self.runs.setdefault(run.run, run)

    def find(self, ids: Sequence[str]) -> Sequence[TrackedRun]:
        return [run for run in self.runs.values() if run.run in ids or run.mlflow_run in ids]

    def runs_of(self, job: JobId) -> Sequence[TrackedRun]:
        return sorted(
            (run for run in self.runs.values() if run.job == job), key=lambda run: run.role is not RunRole.JOB
        )

    def record(self, job: JobId, attempt: int, tracked: Tracked) -> None:
        self.told.append((job, attempt, tracked))

    def history(self, job: JobId, key: str, after: int, most: int) -> Sequence[tuple[int, MetricValue]]:
        points = [one for owner, _, told in self.told if owner == job for one in told.metrics if one.key == key]
        return list(enumerate(points, 1))[after : after + most]

    def curve(self, job: JobId, key: str, most: int, between: tuple[int, int] | None) -> Sequence[MetricValue]:
        raise AssertionError("no client asks for curves")

    pieces: list[tuple[JobId, FeedPiece]] = field(default_factory=list)

    def feed(self, job: JobId, most: int) -> Sequence[FeedPiece]:
        return [piece for owner, piece in self.pieces if owner == job][:most]

    def fed(self, pieces: Sequence[FeedPiece]) -> None:
        self.pieces = [one for one in self.pieces if one[1] not in pieces]

    def waiting(self) -> Sequence[JobId]:
        return [job for job, _ in self.pieces]

    turns: dict[str, threading.Lock] = field(default_factory=dict)

    def turn(self, kind: str, name: str) -> threading.Lock:
        return self.turns.setdefault(f"{kind}:{name}", threading.Lock())

    def metrics(self, job: JobId) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for owner, _, tracked in self.told:
            for metric in tracked.metrics if owner == job else ():
                found.setdefault(metric.key, []).append(metric.value)
        return found

    def params(self, job: JobId) -> dict[str, str]:
        return {k: v for owner, _, tracked in self.told if owner == job for k, v in tracked.params.items()}

    def tags(self, job: JobId) -> dict[str, str]:
        return {k: v for owner, _, tracked in self.told if owner == job for k, v in tracked.tags.items()}


class FixedClock:
    def now(self) -> Millis:
        return Millis(1_700_000_000_000)


@dataclass
class World:
    """`address` of the front: /<job>/… is spoken by that job."""

    server: MlflowServer
    rows: Rows
    door: TrackingDoor
    feeder: Feeder
    jobs: dict[str, AttemptContext] = field(default_factory=dict)
    address: str = ""

    def other(self, server: TrackingServer, rows: Rows | None = None) -> tuple[TrackingDoor, Feeder]:
        return doors(server, rows if rows is not None else Rows(), {})

    def job(self, experiment: str = "iris") -> AttemptContext:
        name = f"job_{uuid.uuid4().hex[:10]}"
        context = AttemptContext(JobId(name), 1, RunId(uuid.uuid4().hex), experiment, name, "ada")
        self.jobs[name] = context
        return context

    def uri(self, job: AttemptContext) -> str:
        return f"{self.address}/{job.name}"

    def run_script(
        self, job: AttemptContext, text: str, folder: Path, python: str = sys.executable
    ) -> subprocess.CompletedProcess[str]:
        """Run a job's script as the node would."""
        script = folder / "train.py"
        script.write_text(text, encoding="utf-8")
        clean = {k: v for k, v in os.environ.items() if "MLFLOW" not in k and k != "PYTHONDONTWRITEBYTECODE"}
        return subprocess.run(
            [python, str(script)],
            cwd=folder,
            env=clean
            | {
                "MLFLOW_TRACKING_URI": self.uri(job),
                "MLFLOW_RUN_ID": job.run,
                "MLFLOW_EXPERIMENT_NAME": job.experiment,
                "MLFLOW_TRACKING_TOKEN": "secret-of-the-job",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
                "MPLBACKEND": "Agg",
                "GIT_PYTHON_REFRESH": "quiet",
            },
            capture_output=True,
            text=True,
            timeout=100,
        )

    def ask(self, job: AttemptContext, method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        return httpx.request(method, f"{self.uri(job)}/api/2.0/mlflow/{path}", json=body, params=query, timeout=60)

    def behind(self, run: str) -> dict[str, Any]:
        """What MLflow itself has of the run that stands behind `run`."""
        mlflow_run = self.rows.runs[run].mlflow_run
        answer = self.server.request("GET", "/api/2.0/mlflow/runs/get", f"run_id={mlflow_run}")
        return httpx.Response(answer.status, content=b"".join(answer.body)).json()["run"]


class NoModels:
    """No model was made but through MLflow."""

    def before(self, attempt: AttemptContext, operation: str) -> None:
        pass

    def content(self, attempt: AttemptContext, path: str, *, listed: bool) -> Response | None:
        return None

    def registered(self, attempt: AttemptContext, version: Mapping[str, Any]) -> None:
        pass


def doors(server: TrackingServer, rows: Rows, jobs: dict[str, AttemptContext]) -> tuple[TrackingDoor, Feeder]:
    mlflow = Mlflow(server)
    runs = Runs(mlflow, rows, FixedClock())
    feeder = Feeder(mlflow, rows, runs, jobs.get)
    return TrackingDoor(mlflow, rows, runs, feeder, NoModels()), feeder


def _front(world: World) -> ThreadingHTTPServer:
    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            name, _, rest = self.path.removeprefix("/").partition("/")
            path, _, query = f"/{rest}".partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = iter([body]) if "/mlflow-artifacts/" in path and self.command == "PUT" else body
            answer = world.door.forward(world.jobs[name], self.command, path, query, list(self.headers.items()), given)
            content = b"".join(answer.body)
            self.send_response(answer.status)
            for key, value in answer.headers:
                if key.lower() != "content-length":
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Front)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = MlflowServer(tmp_path_factory.mktemp("home") / "mlflow")
    server.prewarm()
    rows = Rows()
    jobs: dict[str, AttemptContext] = {}
    world = World(server, rows, *doors(server, rows, jobs), jobs)
    front = _front(world)
    world.address = f"http://127.0.0.1:{front.server_address[1]}"
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield world
    front.shutdown()
    thread.join()
    front.server_close()
    server.close()
    server.close()
