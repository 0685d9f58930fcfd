"""Compile a cached environment after its first job has begun: that job waits 20 s less, every later one imports faster."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

Patience = Sequence[tuple[int, float | None]]
"""Nicenesses one after the other, each with the seconds that it has."""
PATIENCE: Patience = ((19, 45.0), (5, None))


class Bytecode:
    """Compiles environments in the background, once for all node processes that share them. It gives way to everybody for a
    while, then no more than it must: until it is done every job compiles for itself. What a killed agent leaves half-done is
    done by the next that needs the environment: each file is whole."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._busy: set[Path] = set()
        self._running: subprocess.Popen[bytes] | None = None
        self._closed = False

    def later(self, root: Path, python: str, umask: int = 0o022) -> None:
        """Returns at once. What it writes has all rights but those of `umask`."""
        done = root.with_name(root.name + ".compiled")
        with self._lock:
            if self._closed or root in self._busy or done.exists():
                return
            self._busy.add(root)
        threading.Thread(target=self._compile, args=(root, python, done, umask), name="bytecode", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._running is not None:
                self._running.kill()

    def _compile(self, root: Path, python: str, done: Path, umask: int) -> None:
        lock = os.open(root.with_name(root.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another agent compiles it
        else:
            self._run(root, python, done, umask)
        finally:
            os.close(lock)
            with self._lock:
                self._busy.discard(root)

    def _run(self, root: Path, python: str, done: Path, umask: int) -> None:
        status = None
        for niceness, within_s in self._patience:
            politely = [nice, "-n", str(niceness)] if (nice := shutil.which("nice")) else []
            with self._lock:
                if self._closed:
                    return
                running = self._running = subprocess.Popen(
                    [*politely, python, "-I", "-m", "compileall", "-q", str(root / "lib")],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    umask=umask,
                )
            try:
                status = running.wait(within_s)
                break
            except subprocess.TimeoutExpired:  # what is compiled already stays, and is passed over
                running.kill()
                running.wait()
        with self._lock:
            self._running = None
        if status is not None and status >= 0:  # a file that does not compile (templates, old syntax) is no failure
            with suppress(OSError):
                done.touch()
