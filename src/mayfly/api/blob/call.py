"""One request to the blob doors: what it asks, what it may, what it brings; and what it is answered."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.types import Receive

from mayfly.api.blob.address import Address
from mayfly.domain.blobs import Conditions
from mayfly.kit.errors import Conflict, Forbidden, Invalid
from mayfly.services import attempts
from mayfly.services.blobs import space_of
from mayfly.services.holdings import Blob, Space
from mayfly.services.signatures import Grant
from mayfly.services.world import World
from mayfly.wire import blob as wire

PIECE = 1 << 20
_META = "x-ms-meta-"
_META_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MOST_METADATA = 8 << 10
_OTHERS_CONTENT = "x-ms-blob-"


def granted(world: World, pairs: Sequence[tuple[str, str]], address: Address, path: str) -> Grant:
    """As `Signatures.verify`; what a job was given ends with the job."""
    grant = world.signatures.verify(pairs, address.container, path, world.clock.now())
    if grant.attempt and not attempts.live(world, grant.attempt):
        raise Forbidden("AuthenticationFailed", "The job that was given this signature has ended.")
    return grant


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""


@dataclass(frozen=True, slots=True)
class Call:
    world: World
    method: str
    address: Address
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case names."""
    receive: Receive
    grant: Grant
    folder: str = ""
    """That stands for the container, with a '/' at its end."""

    @property
    def space(self) -> Space:
        """Raises NotFound `ContainerNotFound`."""
        return space_of(self.address.container)

    @property
    def path(self) -> str:
        return self.address.blob

    def allow(self, letters: str) -> None:
        """Go on where the signature grants any of the letters. Raises Forbidden `AuthorizationPermissionMismatch`."""
        if not set(letters) & set(self.grant.allowed):
            raise Forbidden(
                "AuthorizationPermissionMismatch",
                f"The signature grants '{self.grant.allowed}'; this needs {' or '.join(letters)}.",
                remedy="Ask for one with that permission.",
            )

    def conditions(self) -> Conditions:
        return Conditions(
            _tags(self.headers.get("if-match")),
            _tags(self.headers.get("if-none-match")),
            _time(self.headers.get("if-modified-since")),
            _time(self.headers.get("if-unmodified-since")),
        )

    def metadata(self) -> dict[str, str]:
        """Raises Invalid `InvalidMetadata`, `MetadataTooLarge`."""
        found = {name[len(_META) :]: value for name, value in self.headers.items() if name.startswith(_META)}
        for name in found:
            if not _META_NAME.match(name):
                raise Invalid("InvalidMetadata", f"'{name}' cannot name metadata: letters, digits and '_' can.")
        if sum(len(name) + len(value) for name, value in found.items()) > _MOST_METADATA:
            raise Invalid("MetadataTooLarge", f"A blob's metadata may have {_MOST_METADATA >> 10} KiB.")
        return found

    def content_headers(self, *, plain: bool = False) -> dict[str, str]:
        """What the blob is to be told of itself. `plain`: by HTTP's own names, too."""
        found = {}
        for name in wire.PROPERTIES:
            value = self.headers.get(_OTHERS_CONTENT + name)
            if value is None and plain and name != "content-md5":
                value = self.headers.get(name)
            if value:
                found[name] = value
        if "content-md5" in found:
            digest(found["content-md5"], 16, "InvalidMd5")
        return found

    async def body(self, limit: int) -> AsyncIterator[bytes]:
        """The body in pieces of about 1 MiB. Raises Invalid `RequestBodyTooLarge`, `UploadBroken`."""
        told = self.headers.get("content-length", "0")
        if not told.isdigit() or int(told) > limit:
            raise too_large(limit)
        held, size, got = [], 0, 0
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise Invalid("UploadBroken", "The upload ended before its end.")
            data = message.get("body", b"")
            held.append(data)
            size += len(data)
            got += len(data)
            if got > limit:
                raise too_large(limit)
            last = not message.get("more_body")
            if size >= PIECE or (last and size):
                yield b"".join(held)
                held, size = [], 0
            if last:
                return

    async def whole_body(self, limit: int) -> bytes:
        return b"".join([piece async for piece in self.body(limit)])


def digest(text: str, size: int, code: str) -> bytes:
    """A hash as headers carry it. Raises Invalid of that code."""
    try:
        found = base64.b64decode(text, validate=True)
    except binascii.Error:
        found = b""
    if len(found) != size:
        raise Invalid(code, f"A hash of {size} bytes is sent in base64.")
    return found


def described(blob: Blob) -> dict[str, str]:
    """What every answer about a blob says of it."""
    return {
        "ETag": f'"{blob.etag}"',
        "Last-Modified": wire.moment(blob.modified_at),
        "x-ms-creation-time": wire.moment(blob.created_at),
        "x-ms-blob-type": "BlockBlob",
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "false",
        "x-ms-access-tier": "Hot",
        "x-ms-access-tier-inferred": "true",
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        **{wire.PROPERTIES[name]: value for name, value in blob.headers.items()},
        **{_META + name: value for name, value in blob.metadata.items()},
    }


def written(blob: Blob, **more: str) -> dict[str, str]:
    """What the answer to a change says."""
    return {
        "ETag": f'"{blob.etag}"',
        "Last-Modified": wire.moment(blob.modified_at),
        "x-ms-request-server-encrypted": "false",
        **more,
    }


def too_large(limit: int) -> Conflict:
    return Conflict("RequestBodyTooLarge", f"Such a body may have {limit} bytes.", remedy="Send it in blocks.")


def _tags(text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    return tuple(tag.strip().removeprefix("W/").strip('"') for tag in text.split(",") if tag.strip())


def _time(text: str | None):
    return wire.millis(text) if text else None
