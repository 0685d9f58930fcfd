"""The door: whose request is it, what does its signature grant, which operation is it, and what is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import structlog
from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mayfly.api.blob import address as addresses
from mayfly.api.blob import batches, blocklists, containers, reading, writing
from mayfly.api.blob.address import Address
from mayfly.api.blob.call import Answer, Call, granted
from mayfly.api.blob.refusals import refusal
from mayfly.kit.errors import Invalid, MayflyError, Unavailable
from mayfly.services.world import World
from mayfly.wire import blob as wire

log = structlog.get_logger()

Operation = Callable[[Call], Awaitable[Answer]]
_CONTAINER: Mapping[tuple[str, str], Operation] = {
    ("GET", "list"): containers.listing,
    ("GET", ""): containers.properties,
    ("HEAD", ""): containers.properties,
    ("GET", "metadata"): containers.properties,
    ("HEAD", "metadata"): containers.properties,
    ("PUT", ""): containers.create,
    ("POST", "batch"): batches.run,
}
_BLOB: Mapping[tuple[str, str], Operation] = {
    ("GET", ""): reading.get,
    ("HEAD", ""): reading.head,
    ("GET", "metadata"): reading.head,
    ("HEAD", "metadata"): reading.head,
    ("PUT", ""): writing.put,
    ("GET", "blocklist"): blocklists.get_list,
    ("PUT", "block"): blocklists.put_block,
    ("PUT", "blocklist"): blocklists.put_list,
    ("PUT", "metadata"): writing.set_metadata,
    ("PUT", "properties"): writing.set_properties,
    ("DELETE", ""): writing.delete,
}
_DRAINED = 64 << 20
"""Of the body of a refused request: a client that is still sending does not look for the answer."""


class BlobDoor:
    """Answers what is addressed to a blob; all else goes on to `app`."""

    def __init__(self, world: World, app: ASGIApp) -> None:
        self._world = world
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive)
        try:
            address = addresses.parse(scope)
            answer = None if address is None else await self._answer(scope, address, body)
        except MayflyError as error:
            await body.drain()
            answer = refusal(error)
        except OSError as error:
            log.exception("a blob could not be read or written")
            await body.drain()
            why = f"The server could not do it: {error.strerror or type(error).__name__}."
            answer = refusal(Unavailable("ServerBusy", why, remedy="Is its disk full?"))
        if answer is None:
            await self._app(scope, receive, send)  # what goes wrong there is not answered here
        else:
            await _send(scope, send, answer, self._world.ids.new("request"))

    async def _answer(self, scope: Scope, address: Address, body: _Body) -> Answer:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = dict(pairs)
        about, folder = address.blob, ""
        if query.get("comp") == "list" and query.get("restype") == "container":  # a folder may stand for a container
            folder = f"{address.blob.strip('/')}/" if address.blob else ""
            address, about = replace(address, blob=""), folder + query.get("prefix", "")
        world = self._world
        if "si" in query:  # the store is asked
            grant = await to_thread.run_sync(granted, world, pairs, address, about)
        else:
            grant = granted(world, pairs, address, about)
        call = Call(world, scope["method"], address, query, headers, body.receive, grant, folder)
        table = _BLOB if address.blob else _CONTAINER
        operation = table.get((call.method, query.get("comp", "")))
        if operation is None:
            raise _unknown(call, {method for method, _ in table})
        world.contacts.request(world.clock.now())
        return await operation(call)


def _unknown(call: Call, methods: set[str]) -> MayflyError:
    if call.method not in methods:
        return Invalid("UnsupportedHttpVerb", f"{call.method} is not for what lies at this address.")
    return Invalid(
        "InvalidQueryParameterValue",
        f"{call.method} with comp={call.query.get('comp')} is not understood here: Mayfly keeps block blobs, without "
        "snapshots, versions, leases, tags or tiers.",
    )


class _Body:
    """What has been received of a request's body, so that the rest can be let go."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = message["type"] != "http.request" or not message.get("more_body")
        return message

    async def drain(self) -> None:
        got = 0
        while not self._ended and got < _DRAINED:
            got += len((await self.receive()).get("body", b""))


async def _send(scope: Scope, send: Send, answer: Answer, request: str) -> None:
    told: dict[str, Any] = {"x-ms-version": wire.VERSION, "x-ms-request-id": request, **answer.headers}
    client = next((value for name, value in scope["headers"] if name == b"x-ms-client-request-id"), b"")
    if client:
        told["x-ms-client-request-id"] = client.decode("latin-1")[:1024]
    if isinstance(answer.body, bytes):
        told.setdefault("Content-Length", str(len(answer.body)))
    headers = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if isinstance(answer.body, bytes):
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})
        return
    pieces = answer.body
    while True:
        piece = await to_thread.run_sync(next, pieces, b"")
        await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})
        if not piece:
            return
