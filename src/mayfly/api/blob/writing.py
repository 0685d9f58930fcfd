"""Writing blobs: in one go, what is said about them, and removing them."""

from __future__ import annotations

from mayfly.api.blob.call import Answer, Call, written
from mayfly.api.blob.uploads import Upload, receive, threaded
from mayfly.domain.blobs import check_name
from mayfly.kit.errors import Invalid
from mayfly.services import blobs
from mayfly.services.blobs import NewBlob

LARGEST = 5000 << 20
"""Bytes in one go, as in Azure."""


async def put(call: Call) -> Answer:
    """The body becomes the blob: whole, durable and there when this is answered, or not at all."""
    call.allow("cw")
    check_name(call.path)
    kind = call.headers.get("x-ms-blob-type", "")
    if kind != "BlockBlob":
        raise Invalid(
            "InvalidHeaderValue", f"Blobs of type '{kind}' are not kept here.", remedy="Send x-ms-blob-type: BlockBlob."
        )
    headers, metadata = call.content_headers(plain=True), call.metadata()

    def keep(upload: Upload) -> Answer:
        found, size = upload.keep()
        headers.setdefault("content-md5", upload.md5)
        space = blobs.space_of(call.world, call.address.container)
        new = NewBlob(found, size, headers, metadata)
        may_replace = "w" in call.grant.allowed
        blob = blobs.put(call.world, space, call.path, new, call.conditions(), may_replace=may_replace)
        return Answer(201, written(blob, **{"Content-MD5": upload.md5}))

    return await receive(call, LARGEST, keep)


async def set_metadata(call: Call) -> Answer:
    call.allow("w")
    metadata = call.metadata()
    return await threaded(lambda: _describe(call, metadata=metadata))


async def set_properties(call: Call) -> Answer:
    call.allow("w")
    headers = call.content_headers()
    return await threaded(lambda: _describe(call, headers=headers))


def _describe(call: Call, **what: dict[str, str]) -> Answer:
    space = blobs.space_of(call.world, call.address.container)
    return Answer(200, written(blobs.describe(call.world, space, call.path, call.conditions(), **what)))


async def delete(call: Call) -> Answer:
    call.allow("d")

    def work() -> None:
        blobs.remove(call.world, blobs.space_of(call.world, call.address.container), call.path, call.conditions())

    await threaded(work)
    return Answer(202, {"x-ms-delete-type-permanent": "true"})
