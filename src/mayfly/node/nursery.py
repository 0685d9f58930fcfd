"""How supervisors come to be: forked by a small process of the agent's that waits for nothing else (`supervisor.py`)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mayfly.node.supervisor import ROOM

_SCRIPT = Path(__file__).with_name("supervisor.py")


class Nursery:
    """Safe for many threads. Its process is started by `open`, and anew whenever it has died; it ends with the agent."""

    def __init__(self, node: Path, ground: Sequence[str] = ()) -> None:
        """`node`: the folder of whose node it is, for people who look at processes; `ground`: what all sandboxes that its
        supervisors make by themselves show alike."""
        self._node, self._ground = node, json.dumps(ground).encode()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ask: socket.socket | None = None

    def open(self) -> None:
        with self._lock:
            self._socket()

    def close(self) -> None:
        with self._lock:
            self._end()

    def fork(self, process_file: Path, *descriptors: int) -> tuple[int, int]:
        """A supervisor of that process: its pid and start time. `descriptors`: where it tells how far it is, where it
        complains, where it hears its grant, and what else it holds. Raises OSError when the nursery died meanwhile: then nobody
        can say whether there is one."""
        with self._lock:
            try:
                ask = self._socket()
                socket.send_fds(ask, [os.fsencode(process_file)], descriptors)
                pid, _, started = ask.recv(64).partition(b" ")
                return int(pid), int(started)
            except (OSError, ValueError) as error:
                self._end()
                raise OSError("the nursery of supervisors has died") from error

    def _socket(self) -> socket.socket:
        if self._ask is None or self._process is None or self._process.poll() is not None:
            self._end()
            self._ask, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [os.path.realpath(sys.executable), "-I", "-S", _SCRIPT, str(theirs.fileno()), self._node],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    cwd="/",
                    env={name: value for name, value in os.environ.items() if name.startswith("MAYFLY_KILL_")} | ROOM,
                )
            self._ask.send(self._ground)
        return self._ask

    def _end(self) -> None:
        if self._ask is not None:
            self._ask.close()
            self._ask = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None
