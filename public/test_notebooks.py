"""Public notebooks, executed from the checkout by the unmodified SDK: every cell up to where another service begins."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import EXPECTED, HERE
from mayfly.cli.report import steps_by_path
from mayfly.testing.embedded import Embedded
from test_examples import as_expected

RUNNING = [one for one in EXPECTED["notebooks"] if "not_run" not in one]
LISTED = ("sdk/python/jobs/single-step", "tutorials/get-started-notebooks")
"""Folders of which every notebook is on the list."""


@pytest.mark.parametrize("notebook", RUNNING, ids=lambda one: Path(one["file"]).stem)
def test_a_notebook_runs_as_it_is(server: Embedded, examples: Path, tmp_path: Path, notebook: dict[str, Any]) -> None:
    file = examples.parent / notebook["file"]
    folder = tmp_path / "notebooks" / file.parent.name
    if file.parent.name == "jobs":
        folder.mkdir(parents=True)
        shutil.copy(file, folder)
    else:
        shutil.copytree(file.parent, folder)
    if notebook.get("config"):
        names = {"subscription_id": "local", "resource_group": "local", "workspace_name": "default"}
        (folder / "config.json").write_text(json.dumps(names), encoding="utf-8")
    before = {one["name"] for one in server.call("GET", "/jobs")["jobs"]}
    until = notebook.get("until", {}).get("cell", "")
    words = [str(HERE / "notebook.py"), file.name, str(tmp_path / "said.json"), until, notebook.get("given", "")]
    said = server.run("exec", "--", sys.executable, *words, cwd=folder)
    assert said.status == 0, f"{said.out[-2000:]}\n{said.err[-4000:]}"
    came = json.loads((tmp_path / "said.json").read_text(encoding="utf-8"))
    assert came == {"cells": notebook["cells"], "left_out": notebook.get("left_out", [])}
    made = [one for one in server.call("GET", "/jobs")["jobs"] if one["name"] not in before]
    wanted = notebook.get("jobs", [])
    assert len(made) == len(wanted), [one["display_name"] for one in made]
    for job, expected in zip(reversed(made), wanted, strict=True):
        view = server.wait(job["name"], timeout_s=300)
        as_expected(server, view, expected)
        assert list(steps_by_path(view["steps"])) == expected.get("steps", [])
    for name in notebook.get("models", ()):
        assert server.json("model", "list", "--name", name), name


def test_every_notebook_of_these_folders_is_on_the_list(examples: Path) -> None:
    listed = {one["file"] for one in EXPECTED["notebooks"]}
    found = {
        path.relative_to(examples.parent).as_posix()
        for folder in LISTED
        for path in (examples.parent / folder).rglob("*.ipynb")
    }
    assert found <= listed, sorted(found - listed)
