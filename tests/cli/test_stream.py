"""Following a job: its phases, its log without loss or doubling, its report."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Mayfly

from mayfly.testing.scripted_server import TOKEN, Call, Reply, Script, events, job_view

NAME = "calm_fig_0123456789"
LOG = "user_logs/std_log.txt"
SSE = "text/event-stream"


def _log(text: str, offset: int, file: str = LOG) -> tuple[str, Any]:
    return "log", {"file": file, "offset": offset, "next": offset + len(text.encode()), "text": text}


def _serve(server: Script, *pieces: bytes, cut: bool = False, job: dict[str, Any] | None = None) -> None:
    """Each connection gets the next piece."""
    left = list(pieces)
    server.on(f"GET jobs/{NAME}", job or job_view(NAME))
    server.on(f"GET jobs/{NAME}/explanation", {"name": NAME, "sentence": "The cheapest size that fits."})
    server.on(f"GET jobs/{NAME}/stream", lambda _call: Reply(left.pop(0), media_type=SSE, then_cut=cut and bool(left)))


def _ended(**changes: Any) -> tuple[str, Any]:
    return "end", job_view(NAME, **changes)


def test_log_phases_and_report(mayfly: Mayfly, server: Script) -> None:
    waiting = job_view(NAME, status="Queued", phase="quota", status_reason="2 cores of quota are missing")
    running = job_view(NAME, status="Running", phase="run")
    output = {"name": "default", "tree": "0" * 64, "files": 3, "bytes": 2048}
    _serve(
        server,
        events(("job", waiting), ("job", running), _log("one\n", 0), _log("two\n", 4), _ended(outputs=[output])),
    )
    done = mayfly("job", "stream", "-n", NAME)
    assert done.status == 0
    assert done.out.startswith("one\ntwo\n")
    assert "quota (2 cores of quota are missing)" in done.err and "Running: run" in done.err
    for words in (
        "Completed after 3.5 s",
        "local_1, Standard, $0.00/h (list price $0.05/h)",
        "The cheapest size that fits.",
        "environment 1.5 s",
        "accuracy 0.9733",
        "75 % of its cores",
        "120 of 2048 MiB",
        "default: 3 files, 2.0 KB",
        f"mayfly job download -n {NAME}",
        f"mayfly job explain -n {NAME}",
    ):
        assert words in done.out


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_a_job_that_ends_badly_is_exit_status_1(mayfly: Mayfly, server: Script, status: str) -> None:
    error = {"code": "UserProcessFailed", "message": "It ended with status 3.", "remedy": "Read its log."}
    _serve(server, events(_log("x", 0), _ended(status=status, error=error)))
    done = mayfly("job", "stream", NAME)
    assert done.status == 1
    assert done.out.startswith("x\n")
    assert "It ended with status 3. [UserProcessFailed]" in done.out


def test_it_comes_back_with_its_offsets_and_doubles_nothing(mayfly: Mayfly, server: Script) -> None:
    running = ("job", job_view(NAME, status="Running", phase="run"))
    text = "héllo\n"
    _serve(
        server,
        events(running, _log(text, 0)),
        events(running, _log("b\n", 7)),
        events(running, _log("b\n", 7), _log("c\n", 9), _ended()),
        cut=True,
    )
    done = mayfly("job", "stream", NAME)
    assert done.status == 0
    assert done.out.startswith("héllo\nb\nc\n\n")
    offsets = [json.loads(call.query["offsets"]) for call in server.asked(f"GET jobs/{NAME}/stream")]
    assert offsets == [{}, {LOG: 7}, {LOG: 9}]
    assert done.err.count("Running: run") == 1


def test_a_piece_that_overlaps_is_cut(mayfly: Mayfly, server: Script) -> None:
    _serve(server, events(_log("abc\n", 0), _log("c\nd\n", 2), _ended()))
    assert mayfly("job", "stream", NAME).out.startswith("abc\nd\n\n")


def test_ranks_are_told_apart_and_lines_do_not_mix(mayfly: Mayfly, server: Script) -> None:
    files = ["user_logs/std_log_process_0.txt", "user_logs/std_log_process_1.txt"]
    _serve(
        server,
        events(
            ("job", job_view(NAME, status="Running", phase="run", instance_count=2)),
            _log("hal", 0, files[0]),
            _log("other\n", 0, files[1]),
            _log("f\nlast", 3, files[0]),
            _ended(instance_count=2),
        ),
    )
    assert mayfly("job", "stream", NAME).out.splitlines()[:3] == ["[1] other", "[0] half", "[0] last"]


def test_json_keeps_standard_output_for_the_data(mayfly: Mayfly, server: Script) -> None:
    _serve(server, events(_log("a line\n", 0), _ended()))
    done = mayfly("job", "stream", NAME, "-o", "json")
    assert json.loads(done.out)["status"] == "Completed"
    assert "a line\n" in done.err


def test_colours_stay_off_a_pipe_and_dangerous_sequences_are_shown(mayfly: Mayfly, server: Script) -> None:
    _serve(server, events(_log("\x1b[31mred\x1b[", 0), _log("0m \x1b]0;title\x07 100%\rdone\n", 10), _ended()))
    assert mayfly("job", "stream", NAME).out.startswith("red \\x1b]0;title\\x07 100%\rdone\n")


def test_an_unknown_job_is_not_found(mayfly: Mayfly) -> None:
    assert mayfly("job", "stream", "nothing").status == 4


def _command(server: Script, tmp_path: Path) -> dict[str, Any]:
    environ = {**os.environ, "MAYFLY_SERVER": server.url, "MAYFLY_TOKEN": TOKEN, "HOME": str(tmp_path)}
    return {"args": [sys.executable, "-m", "mayfly.main.cli", "job", "stream", "-n", NAME], "env": environ}


def test_ctrl_c_leaves_the_job_alone(server: Script, tmp_path: Path) -> None:
    held = threading.Event()

    def hold(_call: Call) -> Reply:
        held.wait(30)
        return Reply(events(_ended()), media_type=SSE)

    server.on(f"GET jobs/{NAME}", job_view(NAME, status="Running"))
    server.on(f"GET jobs/{NAME}/stream", hold)
    with subprocess.Popen(
        **_command(server, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = threading.Event()
        while not server.asked(f"GET jobs/{NAME}/stream") and process.poll() is None:
            deadline.wait(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    held.set()
    assert process.returncode == 130
    assert f"mayfly job stream -n {NAME}" in err
    assert f"mayfly job cancel -n {NAME}" in err
    assert "Traceback" not in err
    assert not server.asked(f"POST jobs/{NAME}/cancel")


@pytest.mark.parametrize(("no_color", "expected"), [("", b"\x1b[31mred\x1b[0m"), ("1", b"red")])
def test_a_terminal_gets_the_colours(server: Script, tmp_path: Path, no_color: str, expected: bytes) -> None:
    _serve(server, events(_log("\x1b[31mred\x1b[0m\x1b[2J\n", 0), _ended()))
    master, slave = pty.openpty()
    command = _command(server, tmp_path)
    command["env"] |= {"NO_COLOR": no_color, "TERM": "xterm"}
    process = subprocess.Popen(**command, stdout=slave, stderr=subprocess.DEVNULL, stdin=slave)
    os.close(slave)
    said = b""
    try:
        while piece := os.read(master, 4096):
            said += piece
    except OSError:
        pass  # Linux's way to say that the other end is closed
    os.close(master)
    assert process.wait(20) == 0
    assert said.startswith(expected + b"\\x1b[2J")
    assert (b"\x1b[32mCompleted" in said) == (not no_color)
