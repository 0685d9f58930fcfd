"""Bodies on their way to the disk: in constant memory, checked against the hashes that came with them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from mayfly.api.blob.call import Call, digest
from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.ports.content import ContentStore, Incoming

Result = TypeVar("Result")

_writers = CapacityLimiter(32)
"""At once at the disk. A sender holds none while it sends."""


class Upload:
    """A body, all of it here or on the disk, that becomes content."""

    def __init__(self, content: ContentStore, md5: bytes | None) -> None:
        self._content = content
        self._promised = md5
        self._found = hashlib.md5(usedforsecurity=False)
        self._incoming: Incoming | None = None
        self._last = b""

    @property
    def md5(self) -> str:
        """Of what is kept."""
        return base64.b64encode(self._found.digest()).decode()

    @property
    def waiting(self) -> bool:
        """Whether the next `add` goes to the disk."""
        return bool(self._last)

    def add(self, data: bytes) -> None:
        """The newest piece stays in memory, so that a small body needs the disk only once."""
        if self._last:
            self._write(self._last)
        self._last = data

    def keep(self) -> tuple[Digest, int]:
        """Name and size; durable. Raises Invalid `Md5Mismatch`."""
        self._write(self._last)
        if self._promised is not None and self._promised != self._found.digest():
            raise Invalid(
                "Md5Mismatch",
                f"The bytes that came have the MD5 {self.md5}, not the one that was sent with them.",
                remedy="Send them again.",
            )
        assert self._incoming is not None
        return self._incoming.keep()

    def drop(self) -> None:
        if self._incoming is not None:
            self._incoming.drop()

    def _write(self, data: bytes) -> None:
        if self._incoming is None:
            self._incoming = self._content.begin()
        self._found.update(data)
        self._incoming.write(data)


async def receive(call: Call, limit: int, keep: Callable[[Upload], Result]) -> Result:
    """What `keep` makes of the body, called in a thread once that is whole. Raises Invalid `MissingContentLengthHeader`,
    `UnsupportedHeader`, and as `Call.body` and `Upload.keep`."""
    if "content-length" not in call.headers and "transfer-encoding" not in call.headers:
        raise Invalid("MissingContentLengthHeader", "The length of the body must be said.")
    for name in ("x-ms-structured-body", "x-ms-content-crc64", "x-ms-copy-source"):
        if name in call.headers:
            raise Invalid("UnsupportedHeader", f"{name} is not understood here.")
    told = call.headers.get("content-md5")
    upload = Upload(call.world.content, digest(told, 16, "InvalidMd5") if told else None)
    try:
        async for piece in call.body(limit):
            if upload.waiting:
                await threaded(lambda piece=piece: upload.add(piece))
            else:
                upload.add(piece)
        return await threaded(lambda: keep(upload))
    finally:
        upload.drop()


async def threaded(work: Callable[[], Result]) -> Result:
    return await to_thread.run_sync(work, limiter=_writers)
