"""Locks by uv: package wishes in, pinned requirements with hashes out (ports.resolver.PackageResolver)."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from mayfly.drivers.pythons import find_interpreters
from mayfly.kit.errors import Broken, Unavailable
from mayfly.ports.resolver import Interpreter
from mayfly.transfer.pip_settings import tool_environment, uv_options

_PIP = re.compile(r"pip(?![\w.-]*\w)\s*(?:[\[=<>!~;(]|\Z)")
_UNREACHABLE = re.compile(r"error sending request|[Ff]ailed to fetch|dns error|[Cc]onnection refused")
_WORDS = 4000
"""How many characters of uv's own words an error keeps."""


class UvResolver:
    """Safe for many threads. `limit_s` bounds one resolution."""

    def __init__(self, environ: Mapping[str, str] | None = None, uv: str | None = None, limit_s: float = 900) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._uv = uv or find_uv()
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._found: tuple[Interpreter, ...] | None = None

    def interpreters(self) -> Sequence[Interpreter]:
        """Found once, in about 0.1 s, then remembered."""
        with self._lock:
            if self._found is None:
                self._found = find_interpreters(self._environ)
            return self._found

    def resolve(
        self,
        requirements: Sequence[str],
        interpreter: Interpreter,
        say: Callable[[str], None],
        cancelled: threading.Event | None = None,
        *,
        fresh: bool = False,
    ) -> str:
        """As the port says. `pip` is always in the lock, since jobs install more by themselves. `say` is called on this
        thread. Setting `cancelled` kills uv and raises Unavailable `EnvironmentResolveCancelled`."""
        wishes = [*requirements]
        if not any(_PIP.match(wish) for wish in wishes):
            wishes.append("pip")
        command = [self._uv, "pip", "compile", "-", "--generate-hashes", "--no-header", "--no-annotate"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--color", "never", "--python", interpreter.path]
        command += [*uv_options(self._environ), *(["--refresh"] if fresh else [])]
        environment = {**tool_environment(self._environ), "UV_PYTHON_DOWNLOADS": "never"}
        say(f"Resolving {len(wishes)} requirement{'s' if len(wishes) > 1 else ''} for Python {interpreter.version}")
        with tempfile.TemporaryDirectory(prefix="mayfly-resolve-") as folder:
            run = _Run(command, environment, folder, "\n".join(wishes) + "\n")
            words = run.follow(say, cancelled or threading.Event(), self._limit_s)
        if run.status != 0 and _UNREACHABLE.search(words):
            raise Broken(
                "PackageIndexUnreachable",
                f"The package index could not be asked:\n{words[-_WORDS:].strip()}",
                remedy="Look at the network, and at the index and certificate settings of pip or uv on the server.",
            )
        if run.status != 0:
            raise Broken(
                "EnvironmentUnsatisfiable",
                f"The packages cannot be resolved for Python {interpreter.version}:\n{words[-_WORDS:].strip()}",
                remedy="Loosen or correct the versions named above; `explain` and the job's log show the same words.",
            )
        return run.output


def find_uv() -> str:
    """The uv that was installed with Mayfly. Raises Broken `UvMissing`."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    for folder in os.pathsep.join(folders).split(os.pathsep):
        candidate = Path(folder) / ("uv.exe" if os.name == "nt" else "uv")
        if folder and candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise Broken("UvMissing", "The program 'uv' is not installed.", remedy="Install it with: pip install uv")


class _Run:
    """One uv process in a session of its own, both its streams read to their ends."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str, text: str) -> None:
        self.status: int | None = None
        self.output = ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=dict(environment),
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._feed, args=(text,), daemon=True),
            threading.Thread(target=self._collect, daemon=True),
            threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def follow(self, say: Callable[[str], None], cancelled: threading.Event, limit_s: float) -> str:
        """Pass the lines on until uv ends; what it said. Raises Unavailable after `cancelled` or the limit."""
        words: list[str] = []
        ticks = 0
        try:
            while True:
                try:
                    line = self._lines.get(timeout=0.1)
                except queue.Empty:
                    ticks += 1
                    self._check(cancelled.is_set(), ticks * 0.1 > limit_s)
                    continue
                if line is None:
                    break
                words.append(line)
                say(line)
            self.status = self._process.wait()
        finally:
            self._kill()
            for thread in self._threads:
                thread.join()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
        return "\n".join(words)

    def _check(self, cancelled: bool, late: bool) -> None:
        if cancelled:
            raise Unavailable("EnvironmentResolveCancelled", "The resolution of the packages was given up.")
        if late:
            raise Broken(
                "EnvironmentResolveTimeout",
                "The resolution of the packages took too long and was ended.",
                remedy="Look whether the package index can be reached, or pin more versions.",
            )

    def _kill(self) -> None:
        if self._process.poll() is None:
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait()

    def _feed(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(text)
        except (BrokenPipeError, ConnectionError):
            return  # it ended before it had read everything: its exit status tells why

    def _collect(self) -> None:
        assert self._process.stdout is not None
        self.output = self._process.stdout.read()

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            if line.strip():
                self._lines.put(line.rstrip())
        self._lines.put(None)
