"""The port to immutable bytes, named by their SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from mayfly.kit.clock import Millis
from mayfly.kit.ids import Digest


class Incoming(Protocol):
    """Bytes on their way, whose name is known only at their end. Either `keep` or `drop` ends it; nothing of it is found
    before."""

    def write(self, data: bytes) -> None: ...

    def keep(self) -> tuple[Digest, int]:
        """Their name and number; durable, as by `put`."""
        ...

    def drop(self) -> None:
        """Leave nothing behind. After `keep`, nothing happens."""
        ...


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

    def put_small(self, items: Iterable[tuple[Digest, bytes]]) -> None:
        """As `put`, of many that fit in memory together, for little more than the price of one. At the first mismatch
        those before it are kept, those after it are not."""
        ...

    def begin(self) -> Incoming:
        """For bytes whose name is not known yet."""
        ...

    def open(self, digest: Digest, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB, of all of it or of a part. Raises NotFound `ContentNotFound`."""
        ...

    def size(self, digest: Digest) -> int: ...

    def list(self) -> Iterator[tuple[Digest, int, Millis]]:
        """Everything that is here, in no order: its name, its size and when it was last put or asked for."""
        ...

    def remove(self, digest: Digest, unless_since: Millis) -> bool:
        """Remove it, but not when it was touched since then; whether it was removed."""
        ...
