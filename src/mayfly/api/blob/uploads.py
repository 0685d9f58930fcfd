"""Bodies on their way to the disk: in constant memory, checked against the hashes that came with them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread

from mayfly.api.blob.call import Call, digest
from mayfly.api.blob.crc64 import Crc64
from mayfly.kit.errors import Invalid

Result = TypeVar("Result")
Kept = TypeVar("Kept", covariant=True)

_writers = CapacityLimiter(32)
"""At once at the disk. A sender holds none while it sends."""


class Incoming(Protocol[Kept]):
    """Where a body goes: content, or a block."""

    def write(self, data: bytes) -> None: ...
    def keep(self) -> Kept: ...
    def drop(self) -> None: ...


class Upload(Generic[Kept]):
    """A body, all of it here or on the disk, and the hashes it must have."""

    def __init__(self, call: Call, begin: Callable[[], Incoming[Kept]], *, md5: bool) -> None:
        """`md5`: it is wanted, though none came with the body."""
        self._begin = begin
        self._incoming: Incoming[Kept] | None = None
        self._last = b""
        told, checked = call.headers.get("content-md5"), call.headers.get("x-ms-content-crc64")
        self._wanted_md5 = digest(told, 16, "InvalidMd5") if told else None
        self._wanted_crc = digest(checked, 8, "InvalidHeaderValue") if checked else None
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 or told else None
        self._crc = Crc64() if checked else None

    @property
    def md5(self) -> str:
        """Of what is kept; '' where nobody wants it."""
        return _text(self._md5.digest()) if self._md5 else ""

    @property
    def hashes(self) -> dict[str, str]:
        """Of what is kept, as the answer tells them."""
        if self._crc is not None:
            return {"x-ms-content-crc64": _text(self._crc.digest())}
        return {"Content-MD5": self.md5} if self._md5 else {}

    @property
    def waiting(self) -> bool:
        """Whether the next `add` goes to the disk."""
        return bool(self._last)

    def add(self, data: bytes) -> None:
        """The newest piece stays in memory, so that a small body needs the disk only once."""
        if self._last:
            self._write(self._last)
        self._last = data

    def keep(self) -> Kept:
        """Durable. Raises Invalid `Md5Mismatch`, `Crc64Mismatch`."""
        self._write(self._last)
        if self._md5 is not None and self._wanted_md5 not in (None, self._md5.digest()):
            raise _damaged("Md5Mismatch", "MD5")
        if self._crc is not None and self._crc.digest() != self._wanted_crc:
            raise _damaged("Crc64Mismatch", "CRC64")
        assert self._incoming is not None
        return self._incoming.keep()

    def drop(self) -> None:
        if self._incoming is not None:
            self._incoming.drop()

    def _write(self, data: bytes) -> None:
        if self._incoming is None:
            self._incoming = self._begin()
        if self._md5 is not None:
            self._md5.update(data)
        if self._crc is not None:
            self._crc.update(data)
        self._incoming.write(data)


async def receive(
    call: Call,
    limit: int,
    begin: Callable[[], Incoming[Kept]],
    keep: Callable[[Upload[Kept]], Result],
    *,
    md5: bool = False,
) -> Result:
    """What `keep` makes of the body, called in a thread once that is whole. Raises Invalid `MissingContentLengthHeader`,
    `UnsupportedHeader`, and as `Call.body` and `Upload.keep`."""
    if "content-length" not in call.headers and "transfer-encoding" not in call.headers:
        raise Invalid("MissingContentLengthHeader", "The length of the body must be said.")
    refuse_structured(call)
    upload = Upload(call, begin, md5=md5)
    try:
        async for piece in call.body(limit):
            if upload.waiting:
                await threaded(lambda piece=piece: upload.add(piece))
            else:
                upload.add(piece)
        return await threaded(lambda: keep(upload))
    finally:
        upload.drop()


def refuse_structured(call: Call) -> None:
    if "x-ms-structured-body" in call.headers:
        raise Invalid(
            "UnsupportedHeader",
            "Bodies with hashes among their bytes (x-ms-structured-body) are not understood here.",
            remedy="Leave validate_content out, or set it to True: the MD5 is checked.",
        )


async def threaded(work: Callable[[], Result]) -> Result:
    return await to_thread.run_sync(work, limiter=_writers)


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _damaged(code: str, hash: str) -> Invalid:
    return Invalid(
        code, f"The bytes that came do not have the {hash} that was sent with them.", remedy="Send them again."
    )
