"""Azure's unmodified SDK as a client, its newest version and the oldest that is promised: real processes, by `mayfly exec`.

docs/compatibility.md is made of what came out: MAYFLY_WRITE_DOCS=1 writes it, without it the test holds it to be true.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest
import uv

from mayfly.testing.embedded import Embedded

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
OLDEST = "1.28.1"
NEWEST = metadata.version("azure-ai-ml")


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
        "components/score.yml": (Path(__file__).parent / "project" / "score.yml").read_text(encoding="utf-8"),
        "environments/base.yml": "{name: base, version: 1, image: 'library/python:latest'}",
        "models/net.yml": "{name: net, version: 3, type: custom_model, path: net}",
        "models/net/model.txt": "weights",
        "data/rows.yml": "{name: rows, version: 1, type: uri_file, path: rows.csv}",
        "data/rows.csv": "a\n",
        "state/config.yml": f"registries: {{ours: '{place}'}}",
    }
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text, encoding="utf-8")


def _page(answers: dict[str, dict[str, str]]) -> str:
    versions = list(answers)
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
        "Kept and given back as they came, but not run yet: sweep, AutoML, Spark and other job types by these "
        "doors (status Failed, error `JobTypeNotSupported`), and schedules.",
        "",
    ]
    return "\n".join(lines)


def _answers(server: Embedded, place: Path, version: str) -> dict[str, str]:
    """What each step came to, with that version of the SDK and in a workspace of its own."""
    shutil.copytree(Path(__file__).parent / "project", place / "project")
    (place / "rows.csv").write_text("a\nb\nc\n", encoding="utf-8")
    script = str(Path(__file__).with_name("steps.py"))
    said = server.run("exec", "--", _python(version, place), script, "answers.json", version, cwd=place)
    assert said.status == 0, said.err[-3000:]
    return json.loads((place / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.end_to_end
def test_a_users_script_runs_unchanged_with_both_versions(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "home")
    answers: dict[str, dict[str, str]] = {}
    _registry(server.place)
    try:
        server.start()
        with ThreadPoolExecutor() as both:
            found = both.map(lambda version: _answers(server, tmp_path / version, version), (OLDEST, NEWEST))
            answers = dict(zip((OLDEST, NEWEST), found, strict=True))
    finally:
        server.finish()
    if os.environ.get("MAYFLY_WRITE_DOCS"):
        PAGE.write_text(_page(answers), encoding="utf-8")
    failed = {version: {k: v for k, v in found.items() if v != "passes"} for version, found in answers.items()}
    assert failed == {OLDEST: {}, NEWEST: {}}
    assert PAGE.read_text(encoding="utf-8") == _page(answers)
