"""Reading blobs: the whole, a range, or only what is said about one."""

from __future__ import annotations

import base64
import hashlib

from anyio import to_thread

from mayfly.api.blob.call import PIECE, Answer, Call, described
from mayfly.api.blob.refusals import refusal
from mayfly.api.blob.uploads import refuse_structured
from mayfly.domain.blobs import byte_range
from mayfly.kit.errors import Invalid
from mayfly.services import blobs
from mayfly.services.holdings import Blob

_MOST_HASHED = 4 << 20
"""Azure's limit for a range that is sent with its hash."""


async def get(call: Call) -> Answer:
    call.allow("r")
    refuse_structured(call)
    return await to_thread.run_sync(_get, call)


async def head(call: Call) -> Answer:
    call.allow("r")
    blob = await to_thread.run_sync(_found, call)
    return Answer(200, {**described(blob), "Content-Length": str(blob.size)})


def _get(call: Call) -> Answer:
    blob = _found(call)
    headers = described(blob)
    try:
        asked = byte_range(call.headers.get("x-ms-range") or call.headers.get("range"), blob.size)
    except Invalid as error:
        return refusal(error, **{"Content-Range": f"bytes */{blob.size}"})
    begin, end = asked or (0, blob.size)
    if asked is not None:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{blob.size}"
        whole = headers.pop("Content-MD5", "")
        if whole:
            headers["x-ms-blob-content-md5"] = whole
    headers["Content-Length"] = str(end - begin)
    pieces = blobs.read(call.world, blob, begin, end)
    if asked is not None and call.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
        if end - begin > _MOST_HASHED:
            raise Invalid("OutOfRangeInput", f"A range that is sent with its hash has at most {_MOST_HASHED} bytes.")
        data = b"".join(pieces)
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        return Answer(206, headers, data)
    if end - begin <= PIECE:
        return Answer(200 if asked is None else 206, headers, b"".join(pieces))
    return Answer(200 if asked is None else 206, headers, pieces)


def _found(call: Call) -> Blob:
    return blobs.find(call.world, call.space, call.path, call.conditions())
