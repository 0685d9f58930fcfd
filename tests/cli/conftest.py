from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Done, Mayfly, WallClock

from mayfly.cli import app
from mayfly.testing.scripted_server import TOKEN, Script, scripted_server


@pytest.fixture
def server() -> Iterator[Script]:
    with scripted_server() as script:
        yield script


@pytest.fixture
def mayfly(server: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Mayfly:
    """Run a command against the scripted server."""

    def run(*args: str, **environ: str) -> Done:
        own = {"HOME": str(tmp_path), "MAYFLY_HOME": str(tmp_path / "state")}
        remote = {"MAYFLY_SERVER": server.url, "MAYFLY_TOKEN": TOKEN}
        capsys.readouterr()
        status = app.main(args, {**own, **remote, **environ}, WallClock(), lambda: "made_up_name")
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run
