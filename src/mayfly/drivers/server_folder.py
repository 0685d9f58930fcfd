"""The servers of a state, as files in it: `servers/<id>.lock` is locked by a server for as long as it lives,
`servers/<id>.json` says where it is found. Nodes look there for a server to speak to."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mayfly.drivers.files import write_durably
from mayfly.kit.errors import Conflict
from mayfly.ports.peers import Peer
from mayfly.transfer.locks import held

_TRY_S = 0.5
"""Whoever looks whether a lock is held may hold it for a moment."""


class ServerFolder:
    """Implements `ports.peers.Peers`, for the server `me`. Raises Conflict `ServerRunning` where it lives already."""

    def __init__(self, state: Path, me: str) -> None:
        self._folder = state / "servers"
        self._folder.mkdir(exist_ok=True, mode=0o700)
        self.me = me
        self._lock = self._take()

    def announce(self, told: Mapping[str, Any]) -> None:
        data = json.dumps({"id": self.me, **told}).encode()
        write_durably(self._folder / f"{self.me}.json", data, "announcement")

    def others(self) -> Sequence[Peer]:
        found = []
        for file in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, KeyError):
                told = json.loads(file.read_bytes())
                if told["id"] != self.me and not self._free(told["id"]):
                    found.append(Peer(told["id"], told["url"], told.get("host", ""), told.get("boot_id", "")))
        return found

    def dead(self) -> Sequence[str]:
        every = sorted(path.stem for path in self._folder.glob("*.lock"))
        return [server for server in every if server != self.me and self._free(server)]

    def bury(self, server: str) -> None:
        path = self._folder / f"{server}.lock"
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (self._folder / f"{server}.json").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            except BlockingIOError:
                pass  # it is back
            finally:
                os.close(handle)

    def leave(self) -> bool:
        (self._folder / f"{self.me}.json").unlink(missing_ok=True)
        return bool(self.others())

    def close(self) -> None:
        """As the end of the process does."""
        os.close(self._lock)

    def _take(self) -> int:
        path, end = self._folder / f"{self.me}.lock", time.monotonic() + _TRY_S
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    if path.stat().st_ino == os.fstat(handle).st_ino:  # else somebody has just buried it
                        return handle
            os.close(handle)
            if time.monotonic() > end:
                raise Conflict(
                    "ServerRunning",
                    f"A server with the id {self.me} works already with {self._folder.parent}.",
                    remedy="Where this server's folder is a copy of that one's, remove its file server.id.",
                )
            time.sleep(0.01)

    def _free(self, server: str) -> bool:
        """Whether nobody holds its lock; so too where there is none."""
        return not held(self._folder / f"{server}.lock")
