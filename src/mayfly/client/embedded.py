"""The embedded server: found in the state folder, or started there, exactly one however many commands ask at once.

POSIX only; elsewhere `ensure` refuses with a remedy, and everything else of the client still works with a remote server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mayfly import __version__
from mayfly.client.home import SERVER_LOCK, SERVER_LOG, ServerRecord, read_record
from mayfly.kit.clock import Clock
from mayfly.kit.errors import Broken, Conflict, Forbidden, Refused

try:
    import fcntl
except ImportError:  # Windows, where there is no embedded server
    fcntl = None

START_LOCK = "start.lock"
_READY_WITHIN_MS = 90_000
_PAUSE_S = 0.05

Answers = Callable[[ServerRecord], bool]
"""Whether the server of that record answers with our token."""


@dataclass(frozen=True, slots=True)
class Started:
    """`process` is the child of this very command, None when the server was there or another command started it."""

    record: ServerRecord
    process: subprocess.Popen[bytes] | None = None


def find(folder: Path, answers: Answers) -> ServerRecord | None:
    """The live server of this folder, None when there is none (a record whose process is dead counts as none)."""
    record = read_record(folder)
    return record if record is not None and record.alive() and answers(record) else None


def ensure(
    folder: Path,
    environ: Mapping[str, str],
    clock: Clock,
    answers: Answers,
    *,
    options: Sequence[str] = (),
    notice: Callable[[str], None] = lambda _text: None,
) -> Started:
    """The folder's live server; started with `options` when there is none.

    Of many callers at once one starts it and the others wait for that one. Raises Broken `ServerStartFailed` with the
    end of the server's log, Forbidden `StateFolderUnusable`, Refused `EmbeddedServerUnsupported` (Windows).
    """
    if (record := find(folder, answers)) is not None:
        return Started(record)
    if fcntl is None:
        raise Refused(
            "EmbeddedServerUnsupported",
            "The embedded server does not run on Windows.",
            remedy="Set MAYFLY_SERVER and MAYFLY_TOKEN to those of a server on Linux or macOS.",
        )
    make_folder(folder)
    try:
        with _start_lock(folder):
            return _start(folder, environ, clock, answers, options, notice)
    except OSError as error:
        raise _unusable(folder, f"{error.strerror or error} ({error.filename})") from error


def make_folder(folder: Path) -> None:
    """The state folder, readable by its owner alone. Raises Forbidden `StateFolderUnusable`."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        usable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    if not usable:
        raise _unusable(folder, "it is not ours to write")


def locked(folder: Path) -> bool:
    """Whether a live server holds the folder. Asked only under the start lock: for a moment, asking takes the lock."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(folder / SERVER_LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def released(folder: Path) -> bool:
    """Whether no server holds the folder and none is being started there."""
    with _start_lock(folder):
        return not locked(folder)


def check_version(record: ServerRecord) -> None:
    """Raises Conflict `VersionMismatch` when the server is not of this command's version."""
    if record.version != __version__:
        raise Conflict(
            "VersionMismatch",
            f"The server at {record.url} is Mayfly {record.version or 'of an unknown version'}, this command is "
            f"{__version__}.",
            remedy="Type `mayfly down`, then this command again: running jobs go on and are taken over.",
        )


def _start(
    folder: Path,
    environ: Mapping[str, str],
    clock: Clock,
    answers: Answers,
    options: Sequence[str],
    notice: Callable[[str], None],
) -> Started:
    process: subprocess.Popen[bytes] | None = None
    deadline = clock.now() + _READY_WITHIN_MS
    try:
        while True:
            if (record := find(folder, answers)) is not None:
                ours = process is not None and process.pid == record.pid
                return Started(record, process if ours else None)
            if process is None:
                if not locked(folder):
                    notice(f"Starting the embedded Mayfly server in {folder} …")
                    process = _spawn(folder, environ, options)
            elif process.poll() is not None:
                raise _failed(
                    folder, f"The embedded server ended with status {process.returncode} before it was ready."
                )
            if clock.now() > deadline:
                raise _failed(folder, f"The embedded server was not ready within {_READY_WITHIN_MS // 1000} s.")
            time.sleep(_PAUSE_S)
    except KeyboardInterrupt:
        if process is not None:
            process.terminate()
        raise


def _spawn(folder: Path, environ: Mapping[str, str], options: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mayfly.main.server", "--home", str(folder), *options]
    descriptor = os.open(folder / SERVER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=dict(environ),
            start_new_session=True,
        )


@contextmanager
def _start_lock(folder: Path) -> Iterator[None]:
    """Held while one command starts the server. The kernel gives it back when its holder dies."""
    descriptor = os.open(folder / START_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _failed(folder: Path, message: str) -> Broken:
    log = folder / SERVER_LOG
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return Broken(
        "ServerStartFailed",
        message + (f" It last said: {said}" if said else ""),
        remedy=f"Read {log}, mend the cause and run the command again.",
    )


def _unusable(folder: Path, why: str) -> Forbidden:
    return Forbidden(
        "StateFolderUnusable",
        f"The state folder {folder} cannot be used: {why}.",
        remedy="Set MAYFLY_HOME to a folder of your own.",
    )
