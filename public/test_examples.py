"""The public job files, run as they are: statuses, steps, logs, outputs, metrics and refusals as expected."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import EXPECTED
from mayfly.cli.report import steps_by_path
from mayfly.testing.embedded import ENDED, Embedded

RUNNING = [job for job in EXPECTED["jobs"] if "not_run" not in job]
PIPELINES = [job for job in EXPECTED["pipelines"] if "not_run" not in job]
NOT_YET = [job for part in ("jobs", "pipelines") for job in EXPECTED[part] if "not_run" in job and "code" in job]


def name_of(job: dict[str, Any]) -> str:
    return job["file"].removeprefix("jobs/").removesuffix(".yml")


@pytest.fixture(scope="session")
def prepared() -> set[str]:
    """Which of `before` is there already."""
    return set()


@pytest.mark.parametrize("job", RUNNING, ids=name_of)
def test_a_job_file_runs_as_it_is(server: Embedded, examples: Path, prepared: set[str], job: dict[str, Any]) -> None:
    prepare(server, examples, prepared, job)
    view = create(server, examples, job)
    as_expected(server, view, job)


@pytest.mark.parametrize("job", PIPELINES, ids=name_of)
def test_a_pipeline_file_runs_as_it_is(
    server: Embedded, examples: Path, prepared: set[str], job: dict[str, Any]
) -> None:
    prepare(server, examples, prepared, job)
    view = create(server, examples, job)
    as_expected(server, view, job)
    steps = steps_by_path(view["steps"])
    assert list(steps) == list(job["steps"])
    for path, expected in job["steps"].items():
        as_expected(server, server.job(steps[path]["job"]), expected)


@pytest.mark.parametrize("job", EXPECTED["refused"], ids=name_of)
def test_a_file_that_cannot_be_right_is_refused_readably(server: Embedded, examples: Path, job: dict[str, Any]) -> None:
    said = server.run("job", "create", "-f", str(examples / job["file"]))
    assert said.status in (2, 3, 4), said
    assert f"[{job['code']}]" in said.err and re.search(job["says"], said.err), said.err
    first = said.err.splitlines()[0]
    assert re.match(r".+\.ya?ml:\d+: .+ \[[A-Z]\w+\]\Z", first) or first.startswith("error: "), said.err
    assert "Traceback" not in said.err and len(said.err.splitlines()) < 20, said.err


@pytest.mark.parametrize("job", NOT_YET, ids=name_of)
def test_a_file_that_does_not_run_yet_says_why(server: Embedded, examples: Path, job: dict[str, Any]) -> None:
    said = server.run("job", "validate", "-f", str(examples / job["file"]))
    assert said.status in (2, 3, 4) and f"[{job['code']}]" in said.err and "Traceback" not in said.err, said


@pytest.mark.parametrize("schema", ["commandJob", "pipelineJob"])
def test_every_job_of_the_checkout_is_on_the_list(examples: Path, schema: str) -> None:
    """A file that is new upstream must be looked at."""
    listed = {job["file"] for part in ("jobs", "pipelines", "refused") for job in EXPECTED[part]}
    found = {
        path.relative_to(examples).as_posix()
        for path in (examples / "jobs").rglob("*.y*ml")
        if f"{schema}.schema.json" in path.read_text(encoding="utf-8", errors="replace")
    }
    assert found <= listed, sorted(found - listed)


def prepare(server: Embedded, examples: Path, prepared: set[str], job: dict[str, Any]) -> None:
    """Make what the job asks for, once."""
    asked = job.get("asks")
    if asked is None or asked in prepared:
        return
    step = EXPECTED["before"][asked]
    if "data" in step:
        server.json("data", "create", "-f", str(examples / step["data"]["file"]), "--name", step["data"]["name"])
    elif "components" in step:
        for file in step["components"]:
            server.json("component", "create", "-f", str(examples / step["below"] / file))
    else:
        put(server, step["job"]["datastore_path"], step["job"]["file"])
    prepared.add(asked)


def put(server: Embedded, path: str, file: str) -> None:
    """Copy a file of the mapped storage into the workspace's own."""
    name = server.submit(
        {
            "command": "cp ${{inputs.source}} ${{outputs.place}}/" + file,
            "environment": {"image": "library/python:latest"},
            "inputs": {"source": {"type": "uri_file", "path": EXPECTED["uri_map"][0] + file}},
            "outputs": {"place": {"path": f"azureml://datastores/workspaceblobstore/paths/{path}/"}},
        }
    )
    assert server.wait(name)["status"] == "Completed"


def create(server: Embedded, examples: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The job after its end."""
    said = server.run("job", "create", "-f", str(examples / job["file"]), "--stream", "-o", "json")
    assert said.out, said.err
    return server.json("job", "show", "-n", json.loads(said.out)["name"])


def as_expected(server: Embedded, view: dict[str, Any], expected: dict[str, Any]) -> None:
    log = "" if view["type"] == "pipeline" else server.log(view["name"])
    assert view["status"] in ENDED and view["status"] == expected.get("status", "Completed"), f"{view}\n{log}"
    for pattern in expected.get("log", ()):
        assert re.search(pattern, log), f"{pattern!r} is not in:\n{log}"
    for file, patterns in expected.get("logs", {}).items():
        log = server.log(view["name"], f"user_logs/{file}")
        for pattern in patterns:
            assert re.search(pattern, log), f"{pattern!r} is not in {file}:\n{log}"
    for output, paths in expected.get("outputs", {}).items():
        there = files_of(server, view, output)
        assert all(fnmatch.filter(there, path) for path in paths), f"{output}: {there}"
    assert set(expected.get("metrics", ())) <= set(view["metrics"]), view["metrics"]
    assert expected.get("params", {}).items() <= view["params"].items(), view["params"]


def files_of(server: Embedded, view: dict[str, Any], output: str) -> list[str]:
    (tree,) = [one["tree"] for one in view["outputs"] if one["name"] == output]
    return [entry["path"] for entry in server.call("GET", f"/content/trees/{tree}")["entries"]]
