"""Many blobs in one body. Each is 64 ASCII hexadecimal characters (its digest), 8 bytes of length, then its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest

MEDIA_TYPE = "application/vnd.mayfly.pack"
_CHUNK = 1 << 20
_HEAD = 72
_DIGEST = re.compile(rb"[0-9a-f]{64}\Z")


def write(items: Iterable[tuple[Digest, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """The body, in chunks. Raises Invalid `PackInvalid` when an item has more or fewer bytes than it says."""
    for digest, size, chunks in items:
        yield digest.encode("ascii") + size.to_bytes(8, "big")
        left = size
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            raise Invalid(
                "PackInvalid",
                f"{digest[:12]}… should have {size} bytes and has {'more' if left < 0 else 'fewer'}: "
                "it changed while it was sent.",
            )


def read(chunks: Iterable[bytes]) -> Iterator[tuple[Digest, int, Iterator[bytes]]]:
    """The blobs of a body in order, in constant memory. What the caller does not read of one is passed over before the
    next; digests are not verified here. Raises Invalid `PackInvalid` on a body that is cut off or malformed."""
    source = _Source(iter(chunks))
    while head := source.head():
        if len(head) < _HEAD:
            raise Invalid("PackInvalid", "The pack ends inside a header.")
        if not _DIGEST.match(head[:64]):
            raise Invalid("PackInvalid", "A pack's header must be 64 lower-case hexadecimal characters and a length.")
        size = int.from_bytes(head[64:], "big")
        blob = source.blob(size)
        yield Digest(head[:64].decode("ascii")), size, blob
        for _ in blob:
            pass


class _Source:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def _fill(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True

    def _take(self, most: int) -> bytes:
        taken = bytes(self._rest[:most])
        self._rest = self._rest[most:]
        return taken

    def head(self) -> bytes:
        head = b""
        while len(head) < _HEAD and self._fill():
            head += self._take(_HEAD - len(head))
        return head

    def blob(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            if not self._fill():
                raise Invalid("PackInvalid", f"The pack ends {left} bytes too early.")
            chunk = self._take(min(left, _CHUNK))
            left -= len(chunk)
            yield chunk
