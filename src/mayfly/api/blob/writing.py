"""Writing blobs: in one go, what is said about them, and removing them."""

from __future__ import annotations

from mayfly.api.blob import address as addresses
from mayfly.api.blob.call import Answer, Call, granted, written
from mayfly.api.blob.uploads import Upload, receive, threaded
from mayfly.domain.blobs import check_name
from mayfly.kit.errors import Forbidden, Invalid
from mayfly.kit.ids import Digest
from mayfly.services import blobs
from mayfly.services.blobs import NewBlob
from mayfly.services.holdings import Blob

LARGEST = 5000 << 20
"""Bytes in one go, as in Azure."""
_SOURCE = "x-ms-copy-source"


async def put(call: Call) -> Answer:
    """The body becomes the blob: whole, durable and there when this is answered, or not at all. With the address of
    another blob in the place of a body it becomes a copy of that."""
    call.allow("cw")
    check_name(call.path)
    if _SOURCE in call.headers:
        return await threaded(lambda: _copy(call))
    kind = call.headers.get("x-ms-blob-type", "")
    if kind != "BlockBlob":
        raise Invalid(
            "InvalidHeaderValue", f"Blobs of type '{kind}' are not kept here.", remedy="Send x-ms-blob-type: BlockBlob."
        )
    headers, metadata = call.content_headers(plain=True), call.metadata()

    def keep(upload: Upload[tuple[Digest, int]]) -> Answer:
        found, size = upload.keep()
        headers.setdefault("content-md5", upload.md5)
        new = NewBlob(found, size, headers, metadata)
        return Answer(201, {**written(_keep(call, new)), **upload.hashes})

    return await receive(call, LARGEST, call.world.content.begin, keep, md5=True)


def _keep(call: Call, new: NewBlob) -> Blob:
    may_replace = "w" in call.grant.allowed
    return blobs.put(call.world, call.space, call.path, new, call.conditions(), may_replace=may_replace)


def _copy(call: Call) -> Answer:
    """Of a blob of this server, at once: both have the same content."""
    world, source = call.world, call.headers[_SOURCE]
    address, pairs = addresses.of_url(source)
    if address is None or not address.blob:
        raise Invalid("CannotVerifyCopySource", "Only what lies on this server is copied here.")
    grant = granted(world, pairs, address, address.blob)
    if "r" not in grant.allowed:
        raise Forbidden(
            "AuthorizationPermissionMismatch", "The signature of the copy's source does not let it be read."
        )
    there = blobs.find(world, blobs.space_of(address.container), address.blob)
    world.content.missing([Digest(there.digest)])  # it stays, should the source go now
    headers = call.content_headers() or there.headers
    metadata = call.metadata() or there.metadata
    new = NewBlob(Digest(there.digest), there.size, headers, metadata, there.blocks)
    blob = _keep(call, new)
    told = written(blob, **{"x-ms-copy-id": blob.etag, "x-ms-copy-status": "success"})
    asked_at_once = "x-ms-blob-type" in call.headers
    return Answer(201 if asked_at_once else 202, told)


async def set_metadata(call: Call) -> Answer:
    call.allow("w")
    metadata = call.metadata()
    return await threaded(lambda: _describe(call, metadata=metadata))


async def set_properties(call: Call) -> Answer:
    call.allow("w")
    headers = call.content_headers()
    return await threaded(lambda: _describe(call, headers=headers))


def _describe(call: Call, **what: dict[str, str]) -> Answer:
    return Answer(200, written(blobs.describe(call.world, call.space, call.path, call.conditions(), **what)))


async def delete(call: Call) -> Answer:
    return await threaded(lambda: remove(call))


def remove(call: Call) -> Answer:
    call.allow("d")
    blobs.remove(call.world, call.space, call.path, call.conditions())
    return Answer(202, {"x-ms-delete-type-permanent": "true"})
