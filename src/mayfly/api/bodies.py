"""Bodies that are not JSON shapes: packs and trees, read and written in a thread while the loop goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from mayfly.kit.errors import Invalid
from mayfly.transfer import packs

MOST_UPLOADS = 32
"""At once; more wait their turn. An upload lasts as long as its sender takes."""
_GATHERED = 1 << 19
_SMALL = 1 << 18


async def read_body(request: Request, work: Callable[[bytes], Any]) -> Response:
    """Run `work` on the whole body in a thread and answer its JSON."""
    body = await request.body()
    found = await to_thread.run_sync(work, body)
    return Response(json.dumps(found), media_type="application/json")


async def packed(request: Request, work: Callable[[bytes], Iterator[bytes]]) -> Response:
    """Answer a pack; what could not be found is refused before the first byte."""
    body = await request.body()
    chunks = await to_thread.run_sync(work, body)
    return StreamingResponse(chunks, media_type=packs.MEDIA_TYPE)


async def unpack(request: Request, work: Callable[[Iterable[bytes]], Any], threads: CapacityLimiter) -> Response:
    """Run `work` in a thread over the chunks of the body as they come, in constant memory. It holds one of `threads` for
    as long as the sender takes, so these must not be the ones that other doors need. A small one is taken whole before."""
    if 0 < int(request.headers.get("content-length") or 0) <= _SMALL:
        try:
            body = await request.body()
        except ClientDisconnect as error:
            raise _broken() from error
        found = await to_thread.run_sync(work, [body], limiter=threads)
        return Response(json.dumps(found), media_type="application/json")
    loop = asyncio.get_running_loop()
    stream = request.stream()

    def chunks() -> Iterator[bytes]:
        while True:
            try:
                chunk = asyncio.run_coroutine_threadsafe(_next(stream), loop).result()
            except ClientDisconnect as error:
                raise _broken() from error
            if chunk is None:
                return
            if chunk:
                yield chunk

    found = await to_thread.run_sync(lambda: work(chunks()), limiter=threads)
    return Response(json.dumps(found), media_type="application/json")


def _broken() -> Invalid:
    return Invalid("UploadBroken", "The upload ended before its end.")


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    """Several chunks in one, since each costs a change of threads."""
    parts, size = [], 0
    while size < _GATHERED and (chunk := await anext(stream, None)) is not None:
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts) if parts else None


def tree_response(data: bytes) -> Response:
    return Response(data, media_type="application/json")
