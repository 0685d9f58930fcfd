"""The servers of a node's state, as their files in it say: any of them will do, and one is spoken to until it does not
answer."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path
from typing import Any

from mayfly.node.disk import read_json
from mayfly.node.processes import exists


class Servers:
    """Safe for many threads, which all speak to the same one."""

    def __init__(self, folder: Path, node: str) -> None:
        """`node` decides which one comes first, so that nodes are spread over them."""
        self._folder, self._turn = folder, zlib.crc32(node.encode())
        self._lock = threading.Lock()
        self._chosen = ""

    @property
    def chosen(self) -> str:
        """The id of the present one; '' before the first `find`."""
        return self._chosen

    def find(self) -> dict[str, Any]:
        """What the present one has said of itself, or the next, where that one is dead. Raises OSError when there is none
        that lives: what is left is files."""
        alive = self._alive()
        with self._lock:
            if self._chosen not in alive:
                self._chosen = self._next(alive)
            return alive[self._chosen]

    def present(self) -> dict[str, Any]:
        """As `find`; where none lives, what one that died has said: it comes back to where it was. {} when there is none."""
        told = self._alive() or self._told()
        return told.get(self._chosen) or next(iter(told.values()), {})

    def pass_over(self, server: str) -> None:
        """It did not answer: if it is the present one still, it is another's turn, where there is another."""
        with self._lock:
            if server == self._chosen:
                self._chosen = self._next(self._alive() or {server: {}})

    def _next(self, alive: dict[str, dict[str, Any]]) -> str:
        """In a ring, from the present one."""
        if not alive:
            raise OSError("no server of this state lives")
        ring = sorted(alive)
        if not self._chosen:
            return ring[self._turn % len(ring)]
        return next((one for one in ring if one > self._chosen), ring[0])

    def _alive(self) -> dict[str, dict[str, Any]]:
        """A dead one's port may be somebody else's by now."""
        told = self._told().items()
        return {id: one for id, one in told if not one.get("pid") or exists(int(one["pid"]))}

    def _told(self) -> dict[str, dict[str, Any]]:
        every = (read_json(file) for file in sorted(self._folder.glob("*.json")))
        return {str(one.get("id")): one for one in every if isinstance(one, dict) and one.get("url")}
