"""One embedded server of a state folder of its own, its nodes and their jobs, as real processes that a test may kill."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from sqlalchemy import select

from mayfly.store.sanity import sanity_check
from mayfly.store.tables import nodes
from mayfly.store.unit import Store, database_url
from mayfly.testing.nodes import alive, children, kill, until

Result = TypeVar("Result")

ENDED = ("Completed", "Failed", "Canceled")
HELLO: dict[str, Any] = {"command": "echo hello", "environment": {"image": "library/python:latest"}}
"""A job that needs nothing but a shell."""
LOG = "user_logs/std_log.txt"
WORKSPACE = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str


def counting(lines: int, pause_s: float = 0.1, status: int = 0) -> dict[str, Any]:
    """A job that writes numbered lines, one each `pause_s`."""
    loop = f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; sleep {pause_s}; done; exit {status}"
    return {**HELLO, "command": loop}


def numbered(lines: int) -> str:
    """The whole log of `counting`."""
    return "".join(f"line {number}\n" for number in range(1, lines + 1))


class Embedded:
    """`place` becomes HOME. Commands start no server unless they are told to (`MAYFLY_AUTOSTART=1`)."""

    def __init__(self, place: Path, database: str = "", beside: Embedded | None = None, **environ: str) -> None:
        """`database`: the URL of a PostgreSQL, SQLite when there is none; `beside`: a server that has it already."""
        self.place = place
        self.database = beside.database if beside is not None else database
        self.folder = place / "state"
        self.state = self.folder if beside is None else beside.state
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
        unwanted = ("MAYFLY_", "XDG_", "PYTHONDONTWRITEBYTECODE")  # compiling all anew would take most of the time
        kept = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        own = {"HOME": str(place), "MAYFLY_HOME": str(self.folder), "MAYFLY_AUTOSTART": "0"}
        shared = {"MAYFLY_DATABASE": self.database} if self.database else {}
        self.environ = {**kept, **own, **shared, **environ}
        self.server: subprocess.Popen[bytes] | None = None
        self._files = 0
        self._client = httpx.Client(timeout=120, trust_env=False)

    # --- the server -----------------------------------------------------------------------------------------------

    def start(self, *options: str, **environ: str) -> int:
        """Start the server and wait until it is ready or has died; its pid."""
        self.folder.mkdir(exist_ok=True, mode=0o700)
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mayfly.main.server", "--home", str(self.folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**self.environ, **environ},
                start_new_session=True,
            )
        self.server = process
        threading.Thread(target=process.wait, daemon=True).start()  # `down` waits until nothing is left of it
        until(lambda: self.own_record.get("pid") == process.pid or process.returncode is not None, 60, 0.05)
        return process.pid

    def heal(self) -> int:
        """Start what has died; how many servers that were."""
        if self.server is None or self.server.poll() is None:
            return 0
        self.start()
        return 1

    @property
    def record(self) -> dict[str, Any]:
        """What there is to know of the server that is asked."""
        return self.own_record

    @property
    def own_record(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "server.json").read_text())
        except (OSError, ValueError):
            return {}

    @property
    def up(self) -> bool:
        """Whether a server can be asked."""
        return self.own_up

    @property
    def own_up(self) -> bool:
        pid = self.own_record.get("pid", 0)
        return bool(pid) and alive(pid) and str(self.folder) in command_line(pid)

    def servers(self) -> list[int]:
        """The pids of those that were started and live."""
        return [self.server.pid] if self.server is not None and self.server.poll() is None else []

    def kill_server(self) -> None:
        """As a power cut would."""
        pid = self.record["pid"]
        kill(pid)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call a door of the workspace, or (`/mayfly/…`) of the server; what it answers."""
        told = self.record
        token = Path(told["token_file"]).read_text().strip()
        url = told["url"] + (path if path.startswith("/mayfly") else WORKSPACE + path)
        answer = self._client.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text

    # --- commands -------------------------------------------------------------------------------------------------

    def begin(self, *args: str, cwd: Path | None = None, **environ: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does."""
        return subprocess.Popen(
            [sys.executable, "-m", "mayfly.main.cli", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd or self.place,
            env={**self.environ, **environ},
        )

    def run(self, *args: str, cwd: Path | None = None, **environ: str) -> Said:
        with self.begin(*args, cwd=cwd, **environ) as process:
            out, err = process.communicate(timeout=400)
            return Said(process.returncode, out, err)

    def json(self, *args: str) -> Any:
        """The answer of a command that must succeed."""
        said = self.run(*args, "-o", "json")
        assert said.status == 0, said.err
        return json.loads(said.out)

    def write(self, definition: Mapping[str, Any] | str, name: str = "") -> Path:
        """A job file in a folder of its own."""
        self._files += 1
        path = self.place / f"job-{self._files}" / (name or "job.yml")
        path.parent.mkdir()
        path.write_text(definition if isinstance(definition, str) else yaml.safe_dump(dict(definition)))
        return path

    def submit(self, definition: Mapping[str, Any] | str, *args: str) -> str:
        """Submit with the real command; the job's name."""
        return self.json("job", "create", "-f", str(self.write(definition)), *args)["name"]

    def post(self, definition: Mapping[str, Any]) -> str:
        """Submit a definition that points to no file, without a command; the job's name."""
        return self.call("POST", "/jobs", {"definition": dict(definition)})["name"]

    # --- jobs -----------------------------------------------------------------------------------------------------

    def job(self, name: str) -> dict[str, Any]:
        return self.call("GET", f"/jobs/{name}")

    def wait(self, name: str, status: str | Iterable[str] = ENDED, timeout_s: float = 45) -> dict[str, Any]:
        """Until the job has (one of) that status, or has ended with another: then an AssertionError says so."""
        wanted = (status,) if isinstance(status, str) else tuple(status)

        def there() -> dict[str, Any] | None:
            try:
                job = self.job(name)
            except (httpx.TransportError, KeyError):
                return None
            assert job["status"] in wanted or job["status"] not in ENDED, (job["status"], job["error"])
            return job if job["status"] in wanted else None

        return until(there, timeout_s, 0.1)

    def log(self, name: str, file: str = LOG) -> str:
        if not any(log["file"] == file for log in self.call("GET", f"/jobs/{name}/logs")["logs"]):
            return ""
        return self.call("GET", f"/jobs/{name}/logs/{file}")

    def wait_log(self, name: str, text: str) -> None:
        until(lambda: text in self.log(name), 45, 0.1)

    # --- processes ------------------------------------------------------------------------------------------------

    def nodes(self) -> list[str]:
        found = self.state / "nodes"
        return sorted(place.name for place in found.iterdir()) if found.is_dir() else []

    def watchdog(self, node: str) -> int:
        """Its pid, 0 when it is dead."""
        mine = str(self.state / "nodes" / node)
        return self._one(lambda words: words[-1] == mine and "--agent" not in words and "mayfly.main.node" in words)

    def agent(self, node: str) -> int:
        mine = str(self.state / "nodes" / node)
        return self._one(lambda words: words[-1] == mine and "--agent" in words)

    def supervisor(self, node: str) -> int:
        """Of a job's first process; 0 when there is none that lives."""
        pid = self._pids(node).get("supervisor", 0)
        return pid if pid and alive(pid) else 0

    def user_process(self, node: str) -> int:
        """The job's own first process on that node, as this machine numbers it."""
        return self._pids(node).get("inner", 0)

    def _pids(self, node: str) -> dict[str, Any]:
        for pids in (self.state / "nodes" / node / "attempts").glob("*/pids-0.json"):
            with contextlib.suppress(OSError, ValueError):
                return json.loads(pids.read_text())
        return {}

    def processes(self) -> list[int]:
        """All that live of this folder and its state: server, MLflow, watchdogs, agents, supervisors and the jobs' own."""
        folders, found = [str(self.folder).encode(), str(self.state).encode()], []
        marks = [f"MAYFLY_PROCESS={node}/".encode() for node in self.nodes()]
        for place in Path("/proc").iterdir():
            if not place.name.isdigit() or not alive(int(place.name)):
                continue
            with contextlib.suppress(OSError):
                words = (place / "cmdline").read_bytes()
                ours = b"mayfly" in words and any(folder in words for folder in folders)
                if ours or any(mark in (place / "environ").read_bytes() for mark in marks):
                    found.append(int(place.name))
        return [pid for pid in found if "mayfly.main.cli" not in command_line(pid)]

    def _one(self, matches: Any) -> int:
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                words = command_line(int(place.name)).split("\0")
                if len(words) > 2 and matches(words) and alive(int(place.name)):
                    return int(place.name)
        return 0

    # --- the end --------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What the store's own laws say is wrong."""
        return self.rows(lambda store: store.read(sanity_check))

    def rows(self, look: Callable[[Store], Result]) -> Result:
        """What `look` finds in the store, past the server."""
        store = Store(self.database or database_url(self.folder), lambda _topics: None)
        try:
            return look(store)
        finally:
            store.close()

    def finish(self) -> None:
        """Cancel what is left, stop the server, and see that nothing remains: no process, no held quota. Repeatable. A server
        beside another one only stops."""
        try:
            if self._client.is_closed or not (self.folder / "server.id").exists():
                return
            if self.state != self.folder:
                if self.up:
                    self.call("POST", "/mayfly/v1/server/down", {"mode": "stop"})
                    until(lambda: not self.up, 40, 0.05)
                return
            if not self.up:
                self.start()
            self.call("POST", "/mayfly/v1/server/down", {"mode": "cancel-jobs"})
            until(lambda: not self.up, 40, 0.05)
            until(lambda: not self.processes(), 20, 0.1)
            assert self.problems() == []
            assert self.control_groups() == []
            assert "Traceback" not in (log := self.all_logs()), log[-4000:]
        finally:
            self._client.close()
            self.end_all()

    def control_groups(self) -> list[Path]:
        """What is left of the limits of this folder's nodes."""
        every = select(nodes.c.id)
        ids = self.rows(lambda store: store.read(lambda connection: connection.execute(every).scalars().all()))
        root = Path("/sys/fs/cgroup")
        found = [*root.glob("mayfly/node_*"), *root.glob("*/mayfly/node_*"), *root.glob("*/*/mayfly/node_*")]
        return [place for place in found if place.name.startswith(tuple(ids) or ("-",))]

    def all_logs(self) -> str:
        logs = [self.folder / "server.log", *(self.state / "nodes").glob("*/node.log")]
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())

    def end_all(self) -> None:
        """Kill whatever is left."""
        for pid in self.processes() if self.state == self.folder else ():
            kill(pid, *children(pid))


Make = Callable[..., Embedded]
"""Makes the folder of an embedded server; nothing runs in it yet."""


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0")
    except OSError:
        return ""
