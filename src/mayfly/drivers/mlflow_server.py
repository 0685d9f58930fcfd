"""The supervisor of the real MLflow server (ports.tracking.TrackingServer): a process of its own behind a Unix socket.

The server process itself never imports mlflow (262 MB, seconds). The socket lies in a folder of mode 0700, so that no
other user has a door to it. Servers that share a folder share the process: whoever has its lock runs it, the others use it
until that one ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from mayfly.drivers.files import write_durably
from mayfly.kit.errors import Unavailable
from mayfly.ports.tracking import Response

_LONGEST_SOCKET_PATH = 100
_HOPS = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
)
_BLOCK = 1 << 19
_TICK_S = 0.05
_ADDRESS = "mlflow.address"
"""The file that says where the socket is."""
_PAUSES_S = (0.0, 0.5, 2.0, 10.0, 30.0)


class MlflowServer:
    """Keeps MLflow's database and artifacts below `folder`. `python` needs mlflow, uvicorn and mayfly.

    `start_limit_s`: how long a request waits for it. Threads: any number may call any method. One thread of ours starts
    the process and stays with it, since Linux tells a process of the death of the *thread* that started it.
    """

    def __init__(self, folder: Path, python: str = sys.executable, start_limit_s: float = 120) -> None:
        self._folder = folder
        self._python = python
        self._limit_s = start_limit_s
        self._change = threading.Condition()
        self._healthy = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None
        self._socket_folder: Path | None = None

    def prewarm(self) -> None:
        with self._change:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._supervise, name="mlflow-supervisor", daemon=True)
                self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the present process, for measurements."""
        process = self._process
        return process.pid if process is not None else None

    def request(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
    ) -> Response:
        client = self._wait()
        url = httpx.URL("http://localhost").copy_with(raw_path=(f"{path}?{query}" if query else path).encode("ascii"))
        kept = [(name, value) for name, value in headers if name.lower() not in _HOPS]
        if not isinstance(body, bytes):
            kept += [(name, value) for name, value in headers if name.lower() == "content-length"]
        try:
            answer = client.send(client.build_request(method, url, headers=kept, content=body), stream=True)
        except (httpx.TransportError, RuntimeError) as error:
            raise _unavailable(f"it went away before it answered ({type(error).__name__})") from error
        length = [(n, v) for n, v in answer.headers.multi_items() if n.lower() == "content-length"]
        passed = [(n, v) for n, v in answer.headers.multi_items() if n.lower() not in _HOPS]
        return Response(answer.status_code, tuple(passed + length), _Body(answer))

    def close(self) -> None:
        self._closing.set()
        with self._change:
            thread = self._thread
            self._change.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _wait(self) -> httpx.Client:
        self.prewarm()
        with self._change:
            ended = self._change.wait_for(
                lambda: self._healthy or self._closing.is_set() or self._failures >= 3, timeout=self._limit_s
            )
            if self._healthy and self._client is not None:
                return self._client
            if self._closing.is_set():
                raise _unavailable("the server is ending")
            why = "it failed to start three times" if ended else f"it was not up within {self._limit_s:.0f} s"
            raise _unavailable(f"{why}; its last words: {self._last_words()}")

    def _supervise(self) -> None:
        """Start, watch, start again; a start that fails waits longer each time."""
        try:
            while not self._closing.is_set():
                self._closing.wait(_PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)])
                if not self._closing.is_set():
                    self._run_once()
        finally:
            self._clean()

    def _run_once(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._folder / "mlflow.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _locked(handle):
                self._run_own()
            else:
                self._use_others(handle)
        finally:
            os.close(handle)

    def _run_own(self) -> None:
        self._prepare_folders()
        assert self._socket_folder is not None
        address = self._socket_folder / "mlflow.sock"
        address.unlink(missing_ok=True)
        write_durably(self._folder / _ADDRESS, str(address).encode())
        with (self._folder / "mlflow.log").open("wb") as log:
            process = subprocess.Popen(
                [self._python, "-m", "mayfly.main.mlflow", "--folder", str(self._folder), "--socket", address.name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._socket_folder,
                env=settings(self._folder, os.environ),
                start_new_session=True,
            )
        self._process = process
        try:
            self._serve(address, lambda: process.poll() is None)
        finally:
            _end(process)

    def _use_others(self, lock: int) -> None:
        """Until the server that runs the process has ended, and the process with it."""
        try:
            address = Path((self._folder / _ADDRESS).read_text(encoding="utf-8"))
        except FileNotFoundError:  # it was begun this moment
            self._closing.wait(_TICK_S)
            return
        self._serve(address, lambda: not _locked(lock))

    def _serve(self, address: Path, lives: Callable[[], bool]) -> None:
        """Requests are sent there while it lives."""
        client = httpx.Client(
            transport=httpx.HTTPTransport(
                uds=str(address),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30),
                retries=1,
            ),
            timeout=httpx.Timeout(300, connect=10),
            follow_redirects=False,
        )
        try:
            healthy = self._until_healthy(lives, address, client)
            with self._change:
                self._client, self._healthy = client, healthy
                self._failures = 0 if healthy else self._failures + 1
                self._change.notify_all()
            while healthy and lives() and not self._closing.wait(_TICK_S):
                pass
        finally:
            with self._change:
                self._healthy, self._client = False, None
            client.close()

    def _until_healthy(self, lives: Callable[[], bool], address: Path, client: httpx.Client) -> bool:
        """Healthy means that the tables are there, too: the first request to the store makes them."""
        for _ in range(int(self._limit_s / _TICK_S)):
            if not lives() or self._closing.is_set():
                return False
            if _listens(address):
                break
            self._closing.wait(_TICK_S)
        else:
            return False
        path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
        try:
            return client.get(f"http://localhost{path}").status_code in (200, 404)
        except httpx.TransportError:
            return False

    def _prepare_folders(self) -> None:
        (self._folder / "artifacts").mkdir(mode=0o700, exist_ok=True)
        if self._socket_folder is None:
            near = self._folder / "run"
            if len(os.fsencode(near / "mlflow.sock")) <= _LONGEST_SOCKET_PATH:
                near.mkdir(mode=0o700, exist_ok=True)
                near.chmod(0o700)
                self._socket_folder = near
            else:
                self._socket_folder = Path(tempfile.mkdtemp(prefix="mayfly-"))

    def _clean(self) -> None:
        folder = self._socket_folder
        if folder is not None:
            (folder / "mlflow.sock").unlink(missing_ok=True)
            if folder.parent != self._folder:
                folder.rmdir()
                self._socket_folder = None

    def _last_words(self) -> str:
        try:
            text = (self._folder / "mlflow.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "none"
        return text[-600:].strip() or "none"


def settings(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the MLflow process. MLflow's settings of whoever started the server are not its business, and
    the server has no use for telemetry, nor for helper processes that run jobs. Host checks guard a TCP port against
    browsers; a socket in a private folder has no need of them. Bytecode is kept: it halves the next start."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("MLFLOW_", "_MLFLOW_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    database = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
    return kept | {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder.absolute() / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONUNBUFFERED": "1",
    }


class _Body:
    """The bytes as they are on the wire, a content encoding included."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.iter_raw(_BLOCK)
        except httpx.TransportError as error:
            raise _unavailable("it went away in the middle of an answer") from error
        finally:
            self._answer.close()

    def close(self) -> None:
        self._answer.close()


def _listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except OSError:
            return False
        return True


def _locked(handle: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()  # it ends by itself when this closes
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "TrackingUnavailable",
        f"The MLflow server cannot be reached: {why}.",
        remedy="The server starts it again by itself; its log is mlflow/mlflow.log in the state folder.",
    )
