"""Routes of `/agent/v1`: the doors of wire.agent. A node's token names the node; its body must name the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Annotated, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mayfly.api import problems
from mayfly.api.bodies import MOST_UPLOADS, packed, read_body, tree_response, unpack
from mayfly.api.straight import Door
from mayfly.kit.errors import Forbidden, Invalid, MayflyError, Unavailable
from mayfly.services import content, inputs, journals, logs, nodes, outputs, reports
from mayfly.services.attempts import context_of
from mayfly.services.nodes import WishBook
from mayfly.services.tracking import TrackingDoor
from mayfly.services.world import World
from mayfly.wire import agent
from mayfly.wire.learning import learn

Shape = TypeVar("Shape", bound=msgspec.Struct)
Result = TypeVar("Result")
LONGEST_POLL_S = 5.0
MOST_AT_ONCE = 32
"""Calls of nodes that are worked on at once; more wait their turn."""
MOST_CALLS = 64
"""Calls of jobs to the tracking server at once; more wait their turn. They last as long as MLflow takes, tens of seconds
while it starts, and heartbeats must not wait for them."""


PREFIX = "/agent/v1"


def doors(world: World, book: WishBook) -> dict[str, Door]:
    """What a node calls all the time, by address."""
    answers, threads = _Answers(world), _Threads()

    async def hello(request: Request) -> Response:
        told = _decode(await request.body(), agent.Hello)
        node = _node(request, told.node)
        answers.forget(node)
        return _answer(await threads.run(lambda: nodes.greet(world, node, told)))

    async def wishes(request: Request) -> Response:
        ask = _decode(await request.body(), agent.WishesAsk)
        node = _node(request, ask.node)
        return _answer(await _wishes(world, book, answers, threads, node, ask))

    async def report(request: Request) -> Response:
        told = _decode(await request.body(), agent.Reports)
        node = _node(request, told.node)
        world.contacts.hear(node, world.clock.now())

        def applied() -> agent.Wishes:
            if told.reports:
                reports.apply(world, node, told.reports)
            return book.read(node)

        with answers.giving(node):
            wishes = await threads.run(applied)
            answers.told(node, wishes)
        return _answer(wishes)

    async def log(request: Request) -> Response:
        at = _query(request, _LogPart)
        data = await request.body()
        node = request.scope["principal"].subject
        size = await threads.run(
            lambda: logs.append(world, node, at.job, at.attempt, at.rank, at.file, at.offset, data)
        )
        return _answer(agent.LogAck(offset=size))

    async def journal(request: Request) -> Response:
        at = _query(request, _JournalPart)
        data = await request.body()
        node = request.scope["principal"].subject
        size = await threads.run(lambda: journals.append(world, node, at.job, at.attempt, at.rank, at.offset, data))
        return _answer(agent.JournalAck(offset=size))

    async def missing(request: Request) -> Response:
        return await read_body(request, lambda body: content.missing_answer(world, body))

    uploads = CapacityLimiter(MOST_UPLOADS)

    async def blobs(request: Request) -> Response:
        return await unpack(request, lambda chunks: content.store_pack(world, chunks), uploads)

    named = {"hello": hello, "wishes": wishes, "reports": report, "logs": log, "tracking": journal}
    named |= {"content/missing": missing, "content/blobs": blobs}
    return {f"{PREFIX}/{name}": door for name, door in named.items()}


class AtOnce:
    """(ASGI) What nodes call all the time, behind a guard of its own and past everything that other doors need around them, which
    takes longer than such a call."""

    def __init__(self, often: Mapping[str, Door], trouble: Callable[[Unavailable], None]) -> None:
        """`often`: as `doors` gives them. `trouble` is told what cannot be served now."""
        self._often = often
        self._trouble = trouble

    def takes(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._often

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._often[scope["path"]](Request(scope, receive))
        except MayflyError as error:
            if isinstance(error, Unavailable):
                self._trouble(error)
            answer = problems.response(error, scope["path"])
        except problems.UNREADABLE as error:
            answer = problems.response(problems.unreadable(error), scope["path"])
        if answer is not None:
            await answer(scope, receive, send)


class _Threads:
    """For calls of nodes: no heartbeat waits for what people ask for."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="nodes")

    async def run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class _JournalPart(msgspec.Struct):
    """Which bytes a call tells."""

    job: str
    attempt: int
    rank: int
    offset: Annotated[int, msgspec.Meta(ge=0)]


class _LogPart(_JournalPart):
    file: str


learn(_JournalPart, _LogPart)


def router(world: World, tracking: TrackingDoor, often: Mapping[str, Door]) -> APIRouter:
    """`often`: as `doors` gives them; here they only say which methods they have, `AtOnce` has taken what they answer."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)
    for path, door in often.items():
        routes.post(path.removeprefix(PREFIX))(door)
    calls = CapacityLimiter(MOST_CALLS)
    outside = CapacityLimiter(MOST_UPLOADS)  # storage elsewhere may be slow; heartbeats must not wait for it

    @routes.post("/content/fetch")
    async def fetch(request: Request) -> Response:
        return await packed(request, lambda body: content.pack(world, body))

    @routes.put("/content/trees/{digest}")
    async def put_tree(digest: str, request: Request) -> Response:
        return await read_body(request, lambda body: content.put_tree(world, digest, body))

    @routes.get("/content/trees/{digest}")
    def get_tree(digest: str) -> Response:
        return tree_response(content.get_tree(world, digest))

    @routes.post("/data/list")
    async def list_data(request: Request) -> Response:
        ask = _decode(await request.body(), agent.DataAsk)
        node = request.scope["principal"].subject
        return _answer(await to_thread.run_sync(inputs.listing, world, node, ask, limiter=outside))

    @routes.get("/data/read")
    async def read_data(
        request: Request,
        job: str,
        attempt: int,
        epoch: int,
        input: str,
        path: str = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        length: Annotated[int | None, Query(ge=0)] = None,
        version: str = "",
        address: str = "",
    ) -> Response:
        node, fence = request.scope["principal"].subject, agent.Fence(job=job, attempt=attempt, epoch=epoch)
        chunks = await to_thread.run_sync(
            inputs.read, world, node, fence, input, path, offset, length, version, address, limiter=outside
        )
        return StreamingResponse(chunks, media_type="application/octet-stream")

    @routes.post("/outputs/publish")
    async def publish(request: Request) -> Response:
        ask = _decode(await request.body(), agent.Publish)
        node = request.scope["principal"].subject
        await to_thread.run_sync(outputs.publish, world, node, ask, limiter=outside)
        return Response(b"{}", media_type="application/json")

    @routes.api_route("/mlflow/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def mlflow(rest: str, request: Request) -> Response:
        node = request.scope["principal"].subject
        fence = request.headers.get("mayfly-attempt", "")
        speaker = await to_thread.run_sync(context_of, world, node, fence)
        path = request.scope["raw_path"].decode().split("/agent/v1/mlflow", 1)[1]
        query = request.scope["query_string"].decode()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        answers: list[StreamingResponse] = []

        def forward(chunks: Iterable[bytes]) -> None:
            found = tracking.forward(speaker, request.method, path, query, headers, chunks)
            answers.append(StreamingResponse(iter(found.body), found.status, dict(found.headers)))

        await unpack(request, forward, calls)
        return answers[0]

    return routes


class _Answers:
    """What each node hears in answer to its reports. The long poll that it has open meanwhile need not say it again: an
    agent repeats its reports until they are answered, and greets when it has forgotten what it heard. Lives on the loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._given: dict[str, int] = {}
        self._underway: Counter[str] = Counter()

    @contextmanager
    def giving(self, node: str) -> Iterator[None]:
        self._underway[node] += 1
        try:
            yield
        finally:
            self._underway -= Counter([node])
            self._world.wakeups.wake_here({_answered(node)})

    def told(self, node: str, wishes: agent.Wishes) -> None:
        if wishes.unknown:
            self.forget(node)
        else:
            self._given[node] = wishes.version

    def forget(self, node: str) -> None:
        self._given.pop(node, None)

    def underway(self, node: str) -> bool:
        return node in self._underway

    def knows(self, node: str, version: int) -> bool:
        return self._given.get(node) == version


def _answered(node: str) -> str:
    return f"answered:{node}"


async def _wishes(
    world: World, book: WishBook, answers: _Answers, threads: _Threads, node: str, ask: agent.WishesAsk
) -> agent.Wishes:
    """A long poll: answered at once when the wishes are newer than `seen`, else when something may have changed. A node that calls
    is suspected no more."""

    def read() -> agent.Wishes:
        wishes = book.read(node)
        if book.suspected(node):
            nodes.heard(world, node)
        return wishes

    woken, listener = world.wakeups.on_loop([f"node:{node}", "nodes", _answered(node)])
    try:
        world.contacts.hear(node, world.clock.now())
        loop = asyncio.get_running_loop()
        until = loop.time() + max(0.0, min(ask.wait_s, LONGEST_POLL_S))
        while True:
            woken.clear()
            left = until - loop.time()
            if left <= 0 or not answers.underway(node):
                found = book.known(node) or await threads.run(read)
                if left <= 0 or not (found.version == ask.seen or answers.knows(node, found.version)):
                    return found
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), left)
    finally:
        listener.close()
        world.contacts.hear(node, world.clock.now())


def _node(request: Request, named: str) -> str:
    node = request.scope["principal"].subject
    if node != named:
        raise Forbidden("NodeOfAnother", "The token is another node's.")
    return node


def _query(request: Request, shape: type[Shape]) -> Shape:
    try:
        return msgspec.convert(dict(request.query_params), shape, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid("RequestInvalid", f"The address says no {shape.__name__}: {error}.") from error


def _decode(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise Invalid("RequestInvalid", f"The body is not a {shape.__name__}: {error}.") from error


def _answer(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
