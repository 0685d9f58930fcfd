"""Removing many blobs with one request."""

from __future__ import annotations

from dataclasses import replace

from mayfly.api.blob import address as addresses
from mayfly.api.blob.call import Answer, Call, granted
from mayfly.api.blob.refusals import refusal
from mayfly.api.blob.uploads import threaded
from mayfly.api.blob.writing import remove
from mayfly.kit.errors import Forbidden, Invalid, MayflyError
from mayfly.wire import blobbatch

_LARGEST = 4 << 20


async def run(call: Call) -> Answer:
    """Each by its own signature, or by that of the batch; one that is refused holds up no other."""
    asked = blobbatch.parts(call.headers.get("content-type", ""), await call.whole_body(_LARGEST))
    boundary = call.world.ids.new("batch")

    def work() -> bytes:
        done = ((part.id, _one(call, part)) for part in asked)
        return blobbatch.answer(
            boundary,
            ((id, one.status, one.headers, one.body if isinstance(one.body, bytes) else b"") for id, one in done),
        )

    return Answer(202, {"Content-Type": f"multipart/mixed; boundary={boundary}"}, await threaded(work))


def _one(call: Call, part: blobbatch.Part) -> Answer:
    try:
        if part.method != "DELETE":
            raise Invalid("InvalidInput", "A batch removes blobs; it does nothing else here.")
        address, pairs = addresses.of_url(part.url)
        if address is None or not address.blob:
            raise Invalid("InvalidUri", "The address is not that of a blob.")
        grant = call.grant
        if any(name == "sig" for name, _ in pairs):
            grant = granted(call.world, pairs, address, address.blob)
        elif not grant.covers(address.container, address.blob):
            raise Forbidden("AuthorizationFailure", "The batch's signature is not for this blob.")
        return remove(replace(call, address=address, headers=part.headers, grant=grant))
    except MayflyError as error:
        return refusal(error)
