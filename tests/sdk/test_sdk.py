"""Azure's unmodified SDK as a client, its newest version and the oldest that is promised: real processes, by `mayfly exec`.

The samples of Azure's page on serverless compute are run from the copy beside this file, or from the page itself in the
folder that SAMPLES_DIR names.

docs/compatibility.md is made of what came out: MAYFLY_WRITE_DOCS=1 writes it, without it the test holds it to be true.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import uv
import yaml

from mayfly.domain import curated
from mayfly.testing.embedded import Embedded
from mayfly.testing.wheels import wheel

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
OLDEST = "1.28.1"
NEWEST = metadata.version("azure-ai-ml")
PAGE_OF_SAMPLES = "serverless-compute-2025.md"

Found = dict[str, dict[str, str]]
"""What steps, samples and operations came to, by their names."""


def _python(version: str, place: Path) -> str:
    if version == NEWEST:
        return sys.executable
    python = str(place / "venv" / "bin" / "python")
    pinned = str(ROOT / "requirements" / "sdk-1.28.txt")
    for command in (
        ["venv", "--python", sys.executable, str(place / "venv")],
        ["pip", "install", "--python", python, "--require-hashes", "-r", pinned],
    ):
        done = subprocess.run([uv.find_uv_bin(), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python


def _registry(place: Path) -> None:
    """A folder of assets, and the server's configuration that calls it a registry."""
    files = {
        "components/score.yml": (HERE / "project" / "score.yml").read_text(encoding="utf-8"),
        "environments/base.yml": "{name: base, version: 1, image: 'library/python:latest'}",
        "models/net.yml": "{name: net, version: 3, type: custom_model, path: net}",
        "models/net/model.txt": "weights",
        "data/rows.yml": "{name: rows, version: 1, type: uri_file, path: rows.csv}",
        "data/rows.csv": "a\n",
        "../state/config.yml": f"registries: {{ours: '{place}'}}",
    }
    for name, text in files.items():
        path = Path(os.path.normpath(place / name))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text, encoding="utf-8")


def _stand_ins(folder: Path) -> dict[str, str]:
    """Packages by the names of those that the samples' curated environment has, and settings that ask nobody for others:
    the samples say hello and import none."""
    environment = curated.find("sklearn-1.5")
    assert environment is not None
    for requirement in ("pip", *environment.requirements):
        name, version = re.match(r"([\w-]+)[^\d;]*([\d.]*)", requirement.partition(";")[0]).groups()  # pyright: ignore
        wheel(folder, name.replace("-", "_"), "80" if "<81" in requirement else version or "1.0")
    return {"PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def _many(server: Embedded, workspace: str) -> None:
    """More versions of an environment than a page shows."""
    door = f"/mayfly/v1/subscriptions/sub/resourceGroups/rg/workspaces/{workspace}/assets/environment"
    for _ in range(101):
        server.call("POST", door, {"name": "many", "definition": {"image": "library/python:latest"}})


def _samples() -> dict[str, str]:
    """By the first line of each in the page."""
    copy = (HERE / "samples.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^## (\d+)\n\n```python\n(.*?)\n```$", copy, re.DOTALL | re.MULTILINE))
    told = os.environ.get("SAMPLES_DIR")
    if not told:
        return found
    lines = (Path(told) / PAGE_OF_SAMPLES).read_text(encoding="utf-8").splitlines()
    theirs, first = {}, 0
    for number, line in enumerate(lines, 1):
        if line.strip() == "```python":
            first = number
        elif first and line.strip() == "```":
            theirs[str(first + 1)] = textwrap.dedent(
                "\n".join(one.rstrip() for one in lines[first : number - 1])
            ).strip()
            first = 0
    assert theirs == found, "tests/sdk/samples.md is no copy of that page any more"
    return theirs


def _page(found: dict[str, Found]) -> str:
    """`found`: by version."""
    versions = list(found)
    answers = {version: one["steps"] for version, one in found.items()}
    samples = {version: one["samples"] for version, one in found.items()}
    lines = [
        "# What Azure's unmodified SDK does here",
        "",
        "Made by `tests/sdk`, which run these steps as a user's script, by `mayfly exec -- python …`. "
        "`MAYFLY_WRITE_DOCS=1` writes this page anew.",
        "",
        f"| step | {' | '.join(f'azure-ai-ml {one}' for one in versions)} |",
        f"|---|{'---|' * len(versions)}",
    ]
    lines += [f"| {name} | {' | '.join(answers[one][name] for one in versions)} |" for name in answers[versions[0]]]
    lines += [
        "",
        "Every operation of `MLClient`, called by these steps. What is refused tells who called it why, in the words beside it.",
        "",
        "| operations | |",
        "|---|---|",
        *_operations({version: one["operations"] for version, one in found.items()}),
        "",
        "The Python samples of Azure's page on serverless compute, by their first line there, with nothing changed but what "
        "stands in angle brackets (523 is a fragment; imports, `@pipeline` and the name of an output complete it). 349 asks "
        "for 96 vCPUs of GPU machines: it passes by being refused with what to change.",
        "",
        f"| sample | {' | '.join(f'azure-ai-ml {one}' for one in versions)} |",
        f"|---|{'---|' * len(versions)}",
    ]
    lines += [f"| {line} | {' | '.join(samples[one][line] for one in versions)} |" for line in samples[versions[0]]]
    lines += [
        "",
        "Notebooks of Azure/azureml-examples, executed from a checkout by `scripts/test-public` with the newest version, cell "
        "after cell; placeholders alone are filled in.",
        "",
        "| notebook | |",
        "|---|---|",
    ]
    listed = yaml.safe_load((ROOT / "public" / "expectations.yml").read_text(encoding="utf-8"))["notebooks"]
    lines += [f"| `{one['file']}` | {_notebook(one)} |" for one in listed]
    lines += [
        "",
        "Kept and given back as they came, but not run yet: sweep, AutoML, Spark and other job types by these "
        "doors (status Failed, error `JobTypeNotSupported`), and schedules.",
        "",
        "The SDK itself is silent where one would like a word: `jobs.download(output_name=…)` of an output that the job has not "
        "brings nothing (the SDK asks for all outputs and drops the others; `jobs.get(name).outputs` lists them), and why a job "
        "was canceled, by its time limit for instance, is in `properties['mayfly.error']` and among the warnings at the end of "
        "`jobs.stream`. The steps of a pipeline that came by the command line are shown by `jobs.get`, their components under the "
        "name `azureml_anonymous` where the file wrote them into the step: such a one is no asset and cannot be fetched.",
        "",
    ]
    return "\n".join(lines)


def _operations(doors: dict[str, dict[str, str]]) -> Iterator[str]:
    """Rows of those of a group that come to the same."""
    every = dict.fromkeys(name for one in doors.values() for name in one)
    rows: dict[tuple[str, str], list[str]] = {}
    for name in sorted(every):
        came = {version: one.get(name, "not there") for version, one in doors.items()}
        told = " · ".join(f"{version}: {one}" for version, one in came.items())
        group, _, word = name.rpartition(".")
        rows.setdefault((group, told if len(set(came.values())) > 1 else came[NEWEST]), []).append(word)
    for (group, told), words in rows.items():
        shown = told.replace("|", "\\|")
        yield f"| `{group or 'MLClient'}`: {', '.join(f'`{one}`' for one in words)} | {shown} |"


def _notebook(one: dict[str, Any]) -> str:
    if "not_run" in one:
        return f"not run: {one['not_run']}"
    until = f" up to `{one['until']['cell']}`: {one['until']['why']}" if "until" in one else ""
    given = "; as it is published it lacks the cell that makes `ml_client`, which is given" if "given" in one else ""
    return f"passes{until}{given}"


def _answers(server: Embedded, place: Path, version: str) -> Found:
    """What each step, operation and sample came to, with that version of the SDK and in workspaces of its own."""
    shutil.copytree(HERE / "project", place / "project")
    (place / "rows.csv").write_text("a\nb\nc\n", encoding="utf-8")
    shutil.copytree(HERE / "project", place / "data")
    shutil.copy(HERE / "train.yml", place / "component.yml")
    (place / "samples.json").write_text(json.dumps(_samples()), encoding="utf-8")
    (place / "asked.json").write_text("{}", encoding="utf-8")
    _many(server, f"team-{version}")
    python = _python(version, place)
    found: Found = json.loads(_said(server, place, [python, str(HERE / "steps.py"), "steps.json", "samples.json"]))
    switch = {"AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED": "true"}
    control = json.loads(_said(server, place, [python, str(HERE / "control.py"), "control.json"], **switch))
    return {**found, "steps": found["steps"] | control}


def _said(server: Embedded, place: Path, script: list[str], **switches: str) -> str:
    said = server.run("exec", "--", *script, cwd=place, **switches)
    assert said.status == 0, said.err[-3000:]
    return (place / script[2]).read_text(encoding="utf-8")


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_a_users_script_runs_unchanged_with_both_versions(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "home", **_stand_ins(tmp_path / "wheels"))
    _registry(server.place / "registry")
    try:
        server.start()
        with ThreadPoolExecutor() as both:
            came = list(both.map(lambda version: _answers(server, tmp_path / version, version), (OLDEST, NEWEST)))
    finally:
        server.finish()
    found = dict(zip((OLDEST, NEWEST), came, strict=True))
    page = _page(found)
    if os.environ.get("MAYFLY_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    parts = [(version, one[part]) for part in ("steps", "samples") for version, one in found.items()]
    wrong = [(version, *one) for version, part in parts for one in part.items() if one[1] != "passes"]
    assert wrong == []
    unsaid = [(version, name) for version, one in found.items() for name, came in one["operations"].items() if not came]
    assert unsaid == [], "each is called by a step, or refused with a reason"
    assert PAGE.read_text(encoding="utf-8") == page
