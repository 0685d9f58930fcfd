"""The tracking calls of one rank: written to a file beside the attempt, answered at once, shipped to the server in order.

The file is the truth. It survives the death of the agent and of the server; the server says how much of it is published,
so nothing is lost and nothing is doubled whoever dies. What only MLflow can judge is not taken (`accept` says None)."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import json

from mayfly.kit.errors import Broken, Unavailable
from mayfly.node.disk import read_json, write_json
from mayfly.node.server import Server
from mayfly.node.steps import passing
from mayfly.wire import journal
from mayfly.wire.agent import Assignment
from mayfly.wire.journal import Entry, RunState

_BATCH = 256 << 10
"""Bytes of one delivery; a single entry may be longer."""
_LINGER_S = 0.05
"""How long a delivery waits for more, unless somebody waits for it."""
_PARAMS = ("runs/log-parameter", "runs/log-batch")


class Journal:
    """Safe for many threads. `done` is set when all was published after `finish`, or nobody will take it any more."""

    def __init__(self, server: Server, assignment: Assignment, file: Path, memory: Path) -> None:
        """`memory` keeps which runs are the attempt's own, and whether all their params are in the journal."""
        self._server = server
        self._fence, self._rank = assignment.fence, assignment.rank
        self._file, self._memory = file, memory
        self._changed = threading.Condition()
        first = assignment.fence.attempt == 1 and assignment.node_count == 1  # else others may have set params
        self._runs = {
            run: RunState({} if known else None)
            for run, known in {assignment.tracking.run: first, **(read_json(memory) or {})}.items()
        }
        self._descriptor = -1
        self._size = self._shipped = 0
        self._finishing = self._stopped = self._hurried = False
        self.done = threading.Event()
        self._thread: threading.Thread | None = None
        if file.exists():
            self._open()

    # --- what the job says --------------------------------------------------------------------------------------------

    def accept(self, operation: str, body: bytes) -> bytes | None:
        """Keep a write and give MLflow's answer to it; None when MLflow itself must judge it, or it is no write."""
        try:
            payload = json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if not isinstance(payload, dict):
            return None
        with self._changed:
            run = payload.get("run_id") or payload.get("run_uuid")
            state = self._runs.get(run) if isinstance(run, str) else None
            if state is None:
                return None
            entry = journal.read(operation, payload, state)
            if entry is None or not self._append(entry):
                self._forget(operation, payload, state)
                return None
            journal.apply(entry, state)
            answer = {"run_info": state.info} if operation == "runs/update" else {}
        passing("journalled")
        return json.encode(answer)

    def heard(self, operation: str, answer: bytes) -> None:
        """MLflow's own answer to a call that was passed on: a run that was made is the attempt's own from now on."""
        if operation not in ("runs/create", "runs/get", "runs/update"):
            return
        try:
            told = json.decode(answer)
            info = told["run_info"] if operation == "runs/update" else told["run"]["info"]
            run = info["run_id"]
        except (msgspec.MsgspecError, KeyError, TypeError):
            return
        with self._changed:
            if operation == "runs/create":
                self._runs.setdefault(run, RunState({}))
                self._remember()
            if run in self._runs:
                self._runs[run].info = info

    def flushed(self, timeout_s: float) -> bool:
        """Wait until all that was accepted before is published; False when it is not yet."""
        with self._changed:
            until = self._size
            self._hurried = self._shipped < until
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._shipped >= until, timeout_s)

    # --- its end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Nothing is accepted any more: publish what is left, then set `done`."""
        with self._changed:
            self._finishing = True
            if self._thread is None:
                self.done.set()
            self._changed.notify_all()

    def stop(self) -> None:
        """Give up what was not published."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(35)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # --- the file -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """A line that a death cut off was never answered: the job's client sends it again."""
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with self._file.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._descriptor, self._size)
                    break
                self._size += len(line)
                entry = json.decode(line, type=Entry)
                if entry.run in self._runs:
                    journal.apply(entry, self._runs[entry.run])
        self._thread = threading.Thread(target=self._ship, name=f"journal-{self._fence.job}", daemon=True)
        self._thread.start()

    def _append(self, entry: Entry) -> bool:
        """False when it cannot be kept: the disk is full, or the attempt has ended."""
        if self._finishing or self._stopped:
            return False
        try:
            if self._descriptor < 0:
                self._open()
            line = json.encode(entry) + b"\n"
            if os.write(self._descriptor, line) != len(line):
                raise OSError("the disk is full")
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            return False
        self._size += len(line)
        self._changed.notify_all()
        return True

    def _forget(self, operation: str, payload: dict[str, Any], state: RunState) -> None:
        """MLflow will be asked, and may change what is known of the run: on the disk before it is asked."""
        if operation == "runs/delete":
            self._runs.pop(payload["run_id"], None)
            self._remember()
        elif operation in _PARAMS and state.params is not None and ("params" in payload or "key" in payload):
            state.params = None
            self._remember()

    def _remember(self) -> None:
        write_json(self._memory, {run: state.params is not None for run, state in self._runs.items()})

    # --- the way to the server ----------------------------------------------------------------------------------------

    def _ship(self) -> None:
        delay = 0.02
        while self._wait():
            try:
                data = self._next()
                have = self._server.journal(self._fence, self._rank, self._shipped, data)
            except Broken:  # the attempt has lost its fence: nobody wants it
                have = self._size
            except (Unavailable, OSError):
                have = self._shipped
            with self._changed:
                if have <= self._shipped:
                    self._changed.wait_for(lambda: self._stopped, delay)
                    delay = min(delay * 1.6, 1.0)
                    continue
                delay = 0.02
                self._shipped = min(have, self._size)
                self._changed.notify_all()
        self.done.set()

    def _wait(self) -> bool:
        """Until there is something to ship and it has lingered; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._shipped < self._size or self._finishing or self._stopped)
            if self._stopped or self._shipped >= self._size:
                return False
            full = lambda: (  # noqa: E731
                self._hurried or self._finishing or self._stopped or self._size - self._shipped >= _BATCH
            )
            self._changed.wait_for(full, _LINGER_S)
            self._hurried = False
            return not self._stopped

    def _next(self) -> bytes:
        """Whole lines from where the server is."""
        size = _BATCH
        while True:
            data = os.pread(self._descriptor, min(size, self._size - self._shipped), self._shipped)
            whole = data[: data.rfind(b"\n") + 1]
            if whole:
                return whole
            size *= 2
