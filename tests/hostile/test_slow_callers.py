"""Callers that take their time must not cost others theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from mayfly.api.app import build
from mayfly.api.doors import LARGEST_BODY
from mayfly.services.pages import Pages
from mayfly.services.stopping import Stopping
from mayfly.services.tokens import Principal
from mayfly.services.tracking import TrackingDoor
from mayfly.store.unit import Store
from mayfly.testing.world import scene
from mayfly.wire import mayfly as wire

PERSONS = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default/content/blobs"


def _no_view() -> wire.ServerView:
    raise AssertionError("nobody asks for it here")


async def _call(app: Any, path: str, token: str, body: Iterable[bytes], more: asyncio.Event | None = None) -> int:
    """The status. With `more` the body's end comes only once that is set."""
    parts = iter(body)
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        part = next(parts, None)
        if part is not None:
            return {"type": "http.request", "body": part, "more_body": True}
        if more is not None:
            await more.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)
    return answers[0]["status"]


def test_slow_uploads_do_not_stop_heartbeats(tmp_path: Path, database_url: str) -> None:
    found = scene(tmp_path, database_url)
    world = found.world
    app = build(world, cast(TrackingDoor, None), cast(Pages, None), _no_view, Stopping(world, lambda: None))
    node = world.tokens.issue(Principal("node", "n"))

    async def all_at_once() -> None:
        more = asyncio.Event()
        head = [b"0" * 64 + (5).to_bytes(8, "big")]
        user = world.tokens.issue(Principal("user", "ann"))
        slow = [
            asyncio.create_task(_call(app, path, token, head, more))
            for path, token in (("/agent/v1/content/blobs", node), (PERSONS, user))
            for _ in range(60)
        ]
        await asyncio.sleep(0)
        for _ in range(3):
            ask = [b'{"node":"n","seen":-1,"wait_s":0}']
            assert await asyncio.wait_for(_call(app, "/agent/v1/wishes", node, ask), 10) == 200
        more.set()
        assert {await one for one in slow} == {400}  # the pack ended too early

    asyncio.run(all_at_once())
    cast(Store, world.store).close()


def test_a_body_without_length_is_bounded_and_garbled_tokens_are_refused(tmp_path: Path, database_url: str) -> None:
    found = scene(tmp_path, database_url)
    app = build(found.world, cast(TrackingDoor, None), cast(Pages, None), _no_view, Stopping(found.world, lambda: None))
    node = found.world.tokens.issue(Principal("node", "n"))

    async def one(token: str, body: Iterable[bytes]) -> int:
        return await _call(app, "/agent/v1/reports", token, body)

    taken: list[int] = []
    endless = (b"x" * (1 << 20) for number in range(100) if not taken.append(number))
    assert asyncio.run(one(node, endless)) == 400
    assert len(taken) <= (LARGEST_BODY >> 20) + 1, "it is not read to its end"
    for token in ("", "mfn", "mfn..", "mfn.bg.", node[:-1], node.replace("mfn", "mfu"), "mfn.\u00ff.x", "." * 9999):
        assert asyncio.run(one(token, [b"{}"])) in (401, 403), token
    found.world.store.close()
