"""Blobs in blocks: taking in one, putting them together, and telling which there are."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from mayfly.api.blob.call import Answer, Call, written
from mayfly.api.blob.uploads import Upload, receive, threaded
from mayfly.domain.blobs import check_name
from mayfly.kit.errors import Invalid
from mayfly.services import blocks
from mayfly.wire import blob as wire

LARGEST = 4000 << 20
"""Bytes of a block, as in Azure."""
_LARGEST_LIST = 8 << 20
_LONGEST_NAME = 64


async def put_block(call: Call) -> Answer:
    """Durable when it is answered."""
    call.allow("cw")
    check_name(call.path)
    name = _name(call.query.get("blockid", ""))

    def keep(upload: Upload) -> Answer:
        upload.keep()
        return Answer(201, {"x-ms-request-server-encrypted": "false", **upload.hashes})

    return await receive(call, LARGEST, lambda: blocks.begin(call.world, call.space, call.path, name), keep)


async def put_list(call: Call) -> Answer:
    call.allow("cw")
    headers, metadata = call.content_headers(), call.metadata()
    body = await call.whole_body(_LARGEST_LIST)
    listed = [(where, _name(name, "InvalidBlockList")) for where, name in wire.block_list(body)]
    may_replace = "w" in call.grant.allowed

    def work() -> Answer:
        made = blocks.commit(
            call.world, call.space, call.path, listed, headers, metadata, call.conditions(), may_replace=may_replace
        )
        return Answer(201, written(made))

    return await threaded(work)


async def get_list(call: Call) -> Answer:
    call.allow("r")
    which = call.query.get("blocklisttype", "committed").lower()
    if which not in ("committed", "uncommitted", "all"):
        raise Invalid("InvalidQueryParameterValue", "blocklisttype is committed, uncommitted or all.")

    def work() -> Answer:
        blob, committed, waiting = blocks.listing(call.world, call.space, call.path)
        body = wire.blocks(
            None if which == "uncommitted" else _told(committed), None if which == "committed" else _told(waiting)
        )
        headers = {"Content-Type": "application/xml", "x-ms-blob-content-length": str(blob.size if blob else 0)}
        return Answer(200, {**headers, **(written(blob) if blob else {})}, body)

    return await threaded(work)


def _told(some: Sequence[tuple[bytes, int]]) -> list[tuple[str, int]]:
    return [(base64.b64encode(name).decode(), size) for name, size in some]


def _name(text: str, code: str = "InvalidQueryParameterValue") -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not 0 < len(found) <= _LONGEST_NAME:
        raise Invalid(code, f"A block's name is base64 of up to {_LONGEST_NAME} bytes.")
    return found
