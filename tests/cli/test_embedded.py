"""The embedded server, as real processes: one under a race, found again, stopped, replaced after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.end_to_end

NOTICE = "Starting the embedded Mayfly server"


class Home:
    """A state folder and the commands that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MAYFLY_")}
        self.environ = {**kept, "HOME": str(folder), "MAYFLY_HOME": str(self.folder)}

    def start(self, *args: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mayfly.main.cli", *args],
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, **environ: str) -> tuple[int, str, str]:
        with self.start(*args, **environ) as process:
            out, err = process.communicate(timeout=100)
            return process.returncode, out, err

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "server.json").read_text())

    def clean(self) -> None:
        self.run("down", "--cancel-jobs")
        if (self.folder / "server.json").exists() and _alive(self.record["pid"]):
            os.kill(self.record["pid"], signal.SIGKILL)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.clean()


def _wait(until: Callable[[], bool], seconds: float = 60) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if until():
            return
        pause.wait(0.05)
    raise AssertionError("It did not happen in time.")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_twenty_first_commands_start_one_server(home: Home) -> None:
    processes = [home.start("usage", "-o", "json") for _ in range(20)]
    said = [(*process.communicate(timeout=110), process.returncode) for process in processes]
    assert [(err, status) for _, err, status in said if status] == []
    assert sum(NOTICE in err for _, err, _ in said) == 1
    assert home.record["automatic"] is True
    assert oct(home.folder.stat().st_mode & 0o777) == "0o700"
    log = (home.folder / "server.log").read_text()
    assert "ServerRunning" not in log


def test_life(home: Home) -> None:
    """One server through its whole life, as starting one takes seconds."""
    status, out, err = home.run("up", "--detach")
    assert (status, NOTICE in err) == (0, True)
    first = home.record
    assert first["automatic"] is False
    assert first["url"] in out and str(home.folder) in out

    status, out, err = home.run("up", "--detach")
    assert (status, NOTICE in err) == (0, False)
    assert "already runs" in out
    assert home.record == first

    status, out, _ = home.run("status", "-o", "json")
    assert json.loads(out)["url"] == first["url"]

    path = home.folder / "server.json"
    path.write_text(json.dumps({**first, "version": "9.9.9"}))
    status, _, err = home.run("usage")
    assert status == 2
    assert "[VersionMismatch]" in err and "mayfly down" in err
    path.write_text(json.dumps(first))

    os.kill(first["pid"], signal.SIGKILL)
    _wait(lambda: not _alive(first["pid"]))
    status, _, err = home.run("usage", MAYFLY_AUTOSTART="0")
    assert (status, "[ServerNotRunning]" in err) == (5, True)
    status, _, err = home.run("usage")
    assert (status, NOTICE in err) == (0, True), err
    second = home.record
    assert second["pid"] != first["pid"]

    status, out, _ = home.run("down")
    assert status == 0
    assert "has stopped" in out
    assert not _alive(second["pid"])
    assert not path.exists()
    assert home.run("down")[0] == 0
    assert home.run("status")[0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_equals_down(home: Home, number: int) -> None:
    with home.start("up") as process:
        _wait(lambda: (home.folder / "server.json").exists() or process.poll() is not None)
        pid = home.record["pid"]
        assert process.stdout is not None
        assert "is ready at" in process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "has stopped" in err
    assert not _alive(pid)


def test_a_server_that_cannot_start_says_why(home: Home) -> None:
    (home.folder / "server.lock").mkdir(parents=True)
    status, _, err = home.run("usage")
    assert (status, "[StateFolderUnusable]" in err) == (3, True)
    (home.folder / "server.lock").rmdir()
    (home.folder / "mayfly.db").mkdir()
    status, _, err = home.run("usage")
    assert (status, "[ServerStartFailed]" in err) == (1, True), err
    assert "server.log" in err
    assert "Traceback" not in err


def _job(home: Home, seconds: int) -> Path:
    file = home.folder.parent / "job.yml"
    file.write_text(
        f"command: for i in $(seq 1 {seconds * 10}); do echo number $i; sleep 0.1; done\n"
        "environment: {image: library/python:latest}\n"
    )
    return file


def test_a_stream_survives_the_death_of_its_server(home: Home) -> None:
    file = _job(home, 6)
    with home.start("job", "create", "-f", str(file), "--stream", "--name", "counting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "number 1\n"
        first = home.record["pid"]
        os.kill(first, signal.SIGKILL)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    numbers = [line for line in out.splitlines() if line.startswith("number ")]
    assert numbers == [f"number {i}" for i in range(2, 61)]
    assert home.record["pid"] != first
    assert "Status    Completed" in out


def test_a_stream_does_not_bring_back_a_server_that_was_stopped(home: Home) -> None:
    file = _job(home, 4)
    with home.start("job", "create", "-f", str(file), "--stream", "--name", "counting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "number 1\n"
        status, said, _ = home.run("down")
        assert (status, "counting" in said) == (0, True), said
        assert process.stderr is not None
        while "The server is away" not in (line := process.stderr.readline()):
            assert line, "the stream ended"
        assert not (home.folder / "server.json").exists()
        assert home.run("up", "--detach")[0] == 0
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert [line for line in out.splitlines() if line.startswith("number ")] == [f"number {i}" for i in range(2, 41)]
    assert "The server is back." in err
