"""The port to blocks: parts of a blob that wait until somebody says in what order they make it up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mayfly.kit.clock import Millis


class IncomingBlock(Protocol):
    """Either `keep` or `drop` ends it; nothing of it is found before."""

    def write(self, data: bytes) -> None: ...

    def keep(self) -> int:
        """The number of bytes. It is found from now on, also after any crash, in the place of one of its name."""
        ...

    def drop(self) -> None:
        """Leave nothing behind. After `keep`, nothing happens."""
        ...


class BlockStore(Protocol):
    """By owner (any text) and name (up to 64 bytes). Safe for many threads."""

    def begin(self, owner: str, name: bytes) -> IncomingBlock: ...

    def sizes(self, owner: str) -> dict[bytes, int]:
        """Every block of an owner, by name."""
        ...

    def open(self, owner: str, name: bytes) -> Iterator[bytes]:
        """Chunks of at most 1 MiB. Raises NotFound `BlockNotFound`."""
        ...

    def clear(self, owner: str) -> None:
        """Forget all of an owner; nothing there is no error."""
        ...

    def prune(self, before: Millis, *, dry_run: bool) -> int:
        """Forget the owners that had no new block since; how many bytes that gives (or would give)."""
        ...
