"""The public job files, run as they are: statuses, logs, outputs, metrics and refusals as expected."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import EXPECTED
from mayfly.testing.embedded import ENDED, Embedded

RUNNING = [job for job in EXPECTED["jobs"] if "not_run" not in job]


def name_of(job: dict[str, Any]) -> str:
    return job["file"].removeprefix("jobs/").removesuffix(".yml")


@pytest.fixture(scope="session")
def prepared() -> set[str]:
    """Which of `before` is there already."""
    return set()


@pytest.mark.parametrize("job", RUNNING, ids=name_of)
def test_a_job_file_runs_as_it_is(server: Embedded, examples: Path, prepared: set[str], job: dict[str, Any]) -> None:
    if (asked := job.get("asks")) and asked not in prepared:
        prepare(server, examples, EXPECTED["before"][asked])
        prepared.add(asked)
    said = server.run("job", "create", "-f", str(examples / job["file"]), "--stream", "-o", "json")
    assert said.out, said.err
    view = json.loads(said.out)
    name = view["name"]
    log = server.log(name)
    assert view["status"] in ENDED and view["status"] == job.get("status", "Completed"), f"{view}\n{log}"
    for pattern in job.get("log", ()):
        assert re.search(pattern, log), f"{pattern!r} is not in:\n{log}"
    for output, paths in job.get("outputs", {}).items():
        assert set(paths) <= set(files_of(server, view, output)), f"{output}: {view['outputs']}"
    view = server.json("job", "show", "-n", name)
    assert set(job.get("metrics", ())) <= set(view["metrics"]), view["metrics"]
    assert job.get("params", {}).items() <= view["params"].items(), view["params"]


@pytest.mark.parametrize("job", EXPECTED["refused"], ids=name_of)
def test_a_file_that_cannot_be_right_is_refused_readably(server: Embedded, examples: Path, job: dict[str, Any]) -> None:
    said = server.run("job", "create", "-f", str(examples / job["file"]))
    assert said.status in (2, 3, 4), said
    first = said.err.splitlines()[0]
    assert re.match(r".+\.ya?ml:\d+: .+ \[[A-Z]\w+\]\Z", first) or first.startswith("error: "), said.err
    assert "Traceback" not in said.err and len(said.err.splitlines()) < 20, said.err


def test_every_command_job_of_the_checkout_is_on_the_list(examples: Path) -> None:
    """A file that is new upstream must be looked at."""
    listed = {job["file"] for job in [*EXPECTED["jobs"], *EXPECTED["refused"]]}
    found = {
        path.relative_to(examples).as_posix()
        for path in (examples / "jobs").rglob("*.yml")
        if "commandJob.schema.json" in path.read_text(encoding="utf-8", errors="replace")
    }
    assert found <= listed, sorted(found - listed)


def prepare(server: Embedded, examples: Path, step: dict[str, Any]) -> None:
    if "data" in step:
        server.json("data", "create", "-f", str(examples / step["data"]["file"]), "--name", step["data"]["name"])
        return
    path, file = step["job"]["datastore_path"], step["job"]["file"]
    source = EXPECTED["uri_map"][0] + file
    name = server.submit(
        {
            "command": "cp ${{inputs.source}} ${{outputs.place}}/" + file,
            "environment": {"image": "library/python:latest"},
            "inputs": {"source": {"type": "uri_file", "path": source}},
            "outputs": {"place": {"path": f"azureml://datastores/workspaceblobstore/paths/{path}/"}},
        }
    )
    assert server.wait(name)["status"] == "Completed"


def files_of(server: Embedded, view: dict[str, Any], output: str) -> list[str]:
    (tree,) = [one["tree"] for one in view["outputs"] if one["name"] == output]
    return [entry["path"] for entry in server.call("GET", f"/content/trees/{tree}")["entries"]]
