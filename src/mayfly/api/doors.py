"""Every door needs a token, loopback included: plain ASGI, before any route is looked at.

`/mayfly/…` is for users, `/agent/…` for nodes, `/tracking/…` for browsers with a cookie that a link gave; an attempt's
token opens nothing here (a job speaks only to its node's gateway). Doors shaped as Azure's (`/subscriptions/…`,
`/history/…`, `/data/…`, `/mlflow/…`) are for users, by an access token or by their own. How to find them is told to everybody. Bodies that are
kept in memory are bounded; streams are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mayfly.api import problems
from mayfly.kit.clock import Clock
from mayfly.kit.errors import Denied, Forbidden, Invalid, MayflyError
from mayfly.services.accesstokens import MACHINE_LEARNING, MANAGEMENT, AccessTokens, is_access_token
from mayfly.services.pages import COOKIE, PREFIX
from mayfly.services.tokens import Principal, Tokens
from mayfly.wire.azureml.resources import canonical, workspace_in

LARGEST_BODY = 32 << 20
_STREAMED = ("/content/blobs", "/agent/v1/mlflow/", "/api/2.0/mlflow-artifacts/")
_KIND = {
    "mayfly": "user",
    "agent": "node",
    "openapi.json": "user",
    "tracking": "pages",
}
_AZURE = ("subscriptions", "history", "data", "mferp", "registrymanagement", "genericasset", "mlflow")
_EVERYWHERE = ("mferp", "registrymanagement")
"""Those of registries, which belong to no workspace."""
_WORKSPACE = re.compile(
    r"subscriptions/([^/]+)/resourcegroups/([^/]+)/(?:providers/[^/]+/)?workspaces/([^/\s?]+)", re.IGNORECASE
)
_SUBMITTER = "Give the job 'identity: {type: user_identity}': it is then who submitted it."
_ANYBODY = ("metadata", "discovery", "msi", "logfiles", "jobs")
"""They tell nothing that is secret, or look for themselves."""


class Guard:
    def __init__(
        self, app: ASGIApp, tokens: Tokens, access: AccessTokens, clock: Clock, live: Callable[[str], bool]
    ) -> None:
        """`live`: whether the attempt that an access token was given to goes on."""
        self._app = app
        self._tokens = tokens
        self._access = access
        self._clock = clock
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope["attempt"] = ""
            scope["principal"] = await self._admit(scope)
            if not any(part in scope["path"] for part in _STREAMED):
                receive = _bounded(scope, receive)
            if scope.get("confined"):
                receive = await _within(scope["confined"], receive)
        except MayflyError as error:
            await problems.response(error, scope["path"])(scope, receive, send)
            return
        with suppress(ClientDisconnect):  # a caller that died while it spoke is no fault of ours
            await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Principal:
        first = scope["path"].split("/")[1]
        wanted = _KIND.get(first)
        if scope["path"].startswith(f"{PREFIX}/open/"):
            return Principal("pages", "")  # the link itself is the proof
        if first in _ANYBODY:
            return Principal("anybody", "")
        if first in _AZURE:
            return await self._azure(scope)
        principal = self._tokens.verify(_cookie(scope) if wanted == "pages" else _bearer(scope))
        if wanted is None:
            raise Denied("DoorUnknown", "There is no such door.")
        if principal.kind != wanted:
            raise Forbidden("TokenOfAnotherKind", f"This door is for a {wanted}'s token, not for a {principal.kind}'s.")
        return principal

    async def _azure(self, scope: Scope) -> Principal:
        scope["path"] = canonical(scope["path"])
        bearer = _bearer(scope)
        if bearer is not None and is_access_token(bearer):
            holder = self._access.verify(bearer, frozenset({MANAGEMENT, MACHINE_LEARNING}), self._clock.now())
            if holder.attempt and not await to_thread.run_sync(self._live, holder.attempt):
                raise Denied("TokenExpired", "The job that was given this access token has ended.")
            outside = scope["path"].split("/")[1] not in _EVERYWHERE and holder.workspace != workspace_in(scope["path"])
            if holder.workspace and outside:
                raise Forbidden(
                    "IdentityOfAWorkspace",
                    f"The managed identity of {holder.workspace} may reach nothing outside of that workspace.",
                    remedy=_SUBMITTER,
                )
            scope["attempt"], scope["confined"] = holder.attempt, holder.workspace
            return holder.principal
        principal = self._tokens.verify(bearer)
        if principal.kind != "user":
            raise Forbidden("TokenOfAnotherKind", f"This door is for a user's token, not for a {principal.kind}'s.")
        return principal


async def _within(workspace: str, receive: Receive) -> Receive:
    """The same body, once it is known that it names nothing of another workspace. Raises Forbidden."""
    content, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        content += message.get("body", b"")
        more = message.get("more_body", False)
    with suppress(ValueError):  # what is no JSON is refused by who reads it
        for other in _named(json.loads(content or b"null")):
            if other.lower() != workspace.lower():
                raise Forbidden(
                    "IdentityOfAWorkspace",
                    f"The managed identity of {workspace} may use nothing of {other}.",
                    remedy=_SUBMITTER,
                )
    told = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def again() -> Message:
        return next(told, None) or await receive()

    return again


def _named(value: Any) -> Iterator[str]:
    """The workspaces that the texts of a body name, whatever they say of them."""
    if isinstance(value, str):
        yield from ("/".join(found) for found in _WORKSPACE.findall(unquote(value)))
    elif isinstance(value, list):
        for one in value:
            yield from _named(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _named(key)
            yield from _named(one)


def _too_large() -> Invalid:
    return Invalid("BodyTooLarge", f"A request's body may have {LARGEST_BODY >> 20} MiB.")


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    return None


def _cookie(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, token = part.strip().partition("=")
                if key == COOKIE:
                    return token
    return None


def _bounded(scope: Scope, receive: Receive) -> Receive:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > LARGEST_BODY):
            raise _too_large()
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > LARGEST_BODY:
            raise _too_large()  # in whoever reads the body; it becomes a problem document there
        return message

    return counted
