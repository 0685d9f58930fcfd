"""What a command loads before it asks, in counts: a fifth more is the most. Most of the time of a command is this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mayfly.testing.scripted_server import TOKEN, Reply, Script, events, job_view

_COUNTED = """
import json, sys
before = len(sys.modules)
from mayfly.main import cli
status = cli.main()
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"status": status, "loaded": len(sys.modules) - before, "names": names}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["--help"], 16),
        (["job", "list"], 137),
        (["job", "create", "-f", "job.yml", "--stream"], 175),
        (["job", "create", "-f", "code.yml"], 242),
    ],
)
def test_what_a_command_loads(server: Script, tmp_path: Path, words: list[str], loaded: int) -> None:
    (tmp_path / "job.yml").write_text("command: date\nenvironment: {image: i}\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "code.yml").write_text("command: date\nenvironment: {image: i}\ncode: src\n")
    server.on("GET jobs", Reply({"jobs": [job_view("a")], "more": False}))
    server.on("POST content/missing", Reply({"missing": []}))
    server.on("POST jobs", Reply(job_view("a", status="Queued"), 201))
    server.on("GET jobs/a/stream", Reply(events(("end", job_view("a"))), media_type="text/event-stream"))
    own = {
        "HOME": str(tmp_path),
        "MAYFLY_HOME": str(tmp_path / "state"),
        "MAYFLY_SERVER": server.url,
        "MAYFLY_TOKEN": TOKEN,
    }
    done = subprocess.run(
        [sys.executable, "-c", _COUNTED, *words],
        cwd=tmp_path,
        env={**os.environ, **own},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stderr.splitlines()[-1])
    assert found["status"] == 0, done.stderr
    assert not {"httpx", "pydantic", "rich", "sqlalchemy", "fastapi"}.intersection(found["names"])
    assert found["loaded"] <= loaded * 1.2, found
