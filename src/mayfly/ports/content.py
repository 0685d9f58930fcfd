"""The port to immutable bytes, named by their SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from mayfly.kit.clock import Millis
from mayfly.kit.ids import Digest


class ContentStore(Protocol):
    """Bytes by hash. Once `put` has returned, `open` finds them after any crash; what is read always matches its name
    (a corrupted upload is refused with Invalid `ContentMismatch`, and nothing is left behind). Safe for many threads
    and processes; putting the same bytes twice is harmless."""

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those that are not here. The others count as touched now: who asked may be about to name them."""
        ...

    def has(self, digest: Digest) -> bool:
        """As `missing`, of one, without touching it."""
        ...

    def put(self, digest: Digest, chunks: Iterable[bytes]) -> int:
        """Store, verify, make durable; the number of bytes."""
        ...

    def open(self, digest: Digest) -> Iterator[bytes]:
        """Chunks of at most 1 MiB. Raises NotFound `ContentNotFound`."""
        ...

    def size(self, digest: Digest) -> int: ...

    def list(self) -> Iterator[tuple[Digest, int, Millis]]:
        """Everything that is here, in no order: its name, its size and when it was last put or asked for."""
        ...

    def remove(self, digest: Digest, unless_since: Millis) -> bool:
        """Remove it, but not when it was touched since then; whether it was removed."""
        ...
