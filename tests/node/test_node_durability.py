"""What a supervisor has on the disk when its command begins, and when it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_TRACED = """
import json, os, sys
from mayfly.node import supervisor
trace = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
fsync, replace = os.fsync, os.replace
def kind(path):
    name = os.path.basename(path)
    return name.partition(".")[0] if name.endswith((".part", ".json")) else name
def synced(descriptor):
    fsync(descriptor)
    os.write(trace, f"synced {kind(os.readlink(f'/proc/self/fd/{descriptor}'))}\\n".encode())
def named(part, path):
    replace(part, path)
    os.write(trace, f"named {kind(path)}\\n".encode())
supervisor.os.fsync, supervisor.os.replace = synced, named
granted, grant = os.pipe()
os.write(grant, b"x")
with open(sys.argv[2], encoding="utf-8") as spec:
    supervisor.Supervision(json.load(spec)).run(granted)
"""


def test_nothing_runs_before_it_is_durable_that_it_began(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    trace = tmp_path / "trace"
    trace.touch()
    spec = {
        "argv": ["/bin/sh", "-c", f"echo ran >> {trace}"],
        "environment": {},
        "entered": [],
        "ground": [],
        "waits": False,
        "folder": str(room),
        "log": str(room / "log"),
        "record": str(room / "exit-0.json"),
        "pids": str(room / "pids-0.json"),
        "timeout_s": None,
        "grace_s": 1.0,
        "drop_uid": 0,
        "depth": 0,
        "cgroups": [],
        "oom": "",
        "boot_id": "",
    }
    (tmp_path / "process.json").write_text(json.dumps(spec), encoding="utf-8")
    subprocess.run([sys.executable, "-c", _TRACED, str(trace), str(tmp_path / "process.json")], check=True, timeout=60)
    seen = trace.read_text(encoding="utf-8").splitlines()
    began, ran = seen[:3], seen.index("ran")
    assert began == ["synced pids-0", "named pids-0", "synced room"] and ran >= 3, seen
    assert seen[-4:] == ["synced log", "synced exit-0", "named exit-0", "synced room"], seen
