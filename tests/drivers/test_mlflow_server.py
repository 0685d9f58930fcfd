"""The supervisor of MLflow's process: it never outlives us, and a start that fails is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mayfly.drivers.mlflow_server import MlflowServer, settings
from mayfly.kit.errors import Unavailable

_OWNER = """
import sys, time
from pathlib import Path
from mayfly.drivers.mlflow_server import MlflowServer
server = MlflowServer(Path(sys.argv[1]))
server.prewarm()
while server.pid is None:
    time.sleep(0.01)
print(server.pid, flush=True)
time.sleep(100)
"""


def wait_until(true: Callable[[], bool], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        threading.Event().wait(0.02)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_it_dies_with_its_owner(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", _OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert not gone(child)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    wait_until(lambda: gone(child))


def test_a_start_that_fails_is_told_with_its_last_words(tmp_path: Path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 1\n")
    broken.chmod(0o755)
    server = MlflowServer(tmp_path / "mlflow", python=str(broken))
    try:
        with pytest.raises(Unavailable, match="no such luck") as told:
            server.request("GET", "/health")
        assert told.value.code == "TrackingUnavailable"
    finally:
        server.close()
    with pytest.raises(Unavailable, match="is ending"):
        server.request("GET", "/health")


def test_a_long_home_leaves_nothing_behind(tmp_path: Path):
    """The path of a Unix socket has 108 bytes; a longer home gets a private folder elsewhere."""
    idle = tmp_path / "python"
    idle.write_text("#!/bin/sh\npwd -P > $4/where\nexec cat\n")
    idle.chmod(0o755)
    folder = tmp_path / ("long" * 30)
    server = MlflowServer(folder, python=str(idle))
    server.prewarm()
    wait_until(lambda: (folder / "where").exists() and bool((folder / "where").read_text()))
    where = Path((folder / "where").read_text().strip())
    assert where.stat().st_mode & 0o777 == 0o700
    assert len(str(where)) < 90
    server.close()
    assert not where.exists()


def test_the_owners_own_mlflow_settings_stay_outside(tmp_path: Path):
    found = settings(tmp_path, {"MLFLOW_TRACKING_URI": "x", "_MLFLOW_SERVER_FILE_STORE": "y", "PATH": "p"})
    assert "MLFLOW_TRACKING_URI" not in found
    assert found["_MLFLOW_SERVER_FILE_STORE"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert found["PATH"] == "p"


_STANDS_IN = """
import socketserver, sys, threading
from http.server import BaseHTTPRequestHandler

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = socketserver.ThreadingUnixStreamServer(sys.argv[-1], Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""


def test_servers_that_share_a_folder_share_the_process(tmp_path: Path):
    (tmp_path / "stands_in.py").write_text(_STANDS_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "stands_in.py"} "$@"\n')
    python.chmod(0o700)
    one, other = (MlflowServer(tmp_path / "mlflow", str(python)) for _ in range(2))
    try:
        assert one.request("GET", "/").status == other.request("GET", "/").status == 404
        assert one.pid is not None and other.pid is None
        one.close()
        wait_until(lambda: other.pid is not None)
        assert other.request("GET", "/").status == 404
    finally:
        one.close()
        other.close()
