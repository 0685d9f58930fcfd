"""Doors that are walked most: found and answered before any other route is looked at, because what a route does around a call takes
longer than such a call. What is not of a door's usual form goes on to the route of the same address, which says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Message, Receive, Scope, Send

Door = Callable[[Request], Awaitable[Response | None]]
"""Answers a call; None: it is not of the usual form."""
Alike = tuple[str, re.Pattern[str], Door]
"""A method, a pattern of addresses whose groups become the request's path parameters, and their door."""


class Straight(BaseRoute):
    def __init__(self, app: FastAPI, alike: Sequence[Alike]) -> None:
        self._app = app
        self._alike = alike

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope.get("not_straight"):
            return Match.NONE, {}
        for method, pattern, door in self._alike:
            found = pattern.fullmatch(scope["path"]) if method == scope["method"] else None
            if found is not None:
                return Match.FULL, {"door": door, "path_params": found.groupdict()}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await scope["door"](request)
        if answer is None:
            scope["not_straight"] = True
            await self._app.router(scope, _again(await request.body(), receive), send)
        else:
            await answer(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)  # its addresses are those of other routes


def is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _again(body: bytes, receive: Receive) -> Receive:
    """The same request once more."""
    told: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return told.pop() if told else await receive()

    return again
