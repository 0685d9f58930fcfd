"""What the doors shaped as Azure's share: the server behind them, and how it is addressed by who asks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi import Request

from mayfly.kit.errors import NotFound
from mayfly.services.accesstokens import AccessTokens
from mayfly.services.places import Place
from mayfly.services.stopping import Stopping
from mayfly.services.world import World
from mayfly.store.assets import Which
from mayfly.wire.azureml.resources import PROVIDER, workspace_id

WORKSPACES = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces"
WS = f"{WORKSPACES}/{{workspace}}"
HISTORY = f"/history/v1.0{WS}"

Found = TypeVar("Found")
_VIEWS: Mapping[str, Which] = {"activeonly": "active", "archivedonly": "archived", "all": "all"}


@dataclass(frozen=True, slots=True)
class Here:
    world: World
    stop: Stopping
    access: AccessTokens
    secure_url: str
    """Of this machine's own TLS listener."""
    url: str = ""
    """Of its plain one."""

    def base(self, request: Request) -> str:
        """The address that the caller may go on with: its own where it came by TLS, or where there is no TLS."""
        if request.url.scheme == "https" or not self.secure_url:
            return f"{request.url.scheme}://{request.url.netloc}"
        return self.secure_url

    def pages(self, request: Request) -> str:
        """The address of what is shown to people: browsers of this machine do not know its certificate authority."""
        base = self.base(request)
        return self.url if self.url and base == self.secure_url else base

    def hosts(self, request: Request) -> frozenset[str]:
        """Names of this server, with the port of its TLS listener."""
        port = urlsplit(self.secure_url).port
        names = ("127.0.0.1", "localhost", "[::1]", socket.gethostname().lower())
        return frozenset({*(f"{name}:{port}" for name in names), urlsplit(self.base(request)).netloc})

    def listed(self, look: Callable[[], list[Found]]) -> list[Found]:
        """A list in a workspace that an embedded server would make on the first write is empty, not an error."""
        try:
            return look()
        except NotFound as error:
            if error.code == "WorkspaceNotFound" and self.world.embedded:
                return []
            raise


def which_of(view: str) -> Which:
    """What a `listViewType` asks for."""
    return _VIEWS.get(view.lower(), "active")


def id_of(place: Place, *parts: str) -> str:
    """The id of what lies in a workspace, as `…/jobs/name`."""
    return "/".join((workspace_id(place.subscription, place.resource_group, place.workspace), *parts))
