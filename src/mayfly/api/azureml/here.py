"""What the doors shaped as Azure's share: the server behind them, and how it is addressed by who asks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

from fastapi import Request

from mayfly.kit.errors import NotFound
from mayfly.services.accesstokens import AccessTokens
from mayfly.services.pages import Pages
from mayfly.services.places import Place
from mayfly.services.stopping import Stopping
from mayfly.services.world import World
from mayfly.store.assets import Which
from mayfly.wire.azureml.resources import PROVIDER, Body, page, workspace_id

WORKSPACES = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces"
WS = f"{WORKSPACES}/{{workspace}}"
MFE = "/mferp/managementfrontend"
"""What the SDK writes behind the address that discovery gives it."""
HISTORY = f"/history/v1.0{WS}"
MLFLOW = f"/mlflow{WS}"

Found = TypeVar("Found")
_VIEWS: Mapping[str, Which] = {"activeonly": "active", "archivedonly": "archived", "all": "all"}


@dataclass(frozen=True, slots=True)
class Here:
    world: World
    stop: Stopping
    access: AccessTokens
    secure_url: str
    """Of this machine's own TLS listener."""
    shown: Pages
    url: str = ""
    """Of its plain one."""
    page: int = 100
    """How much a collection shows at a time."""

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

    def next(self, request: Request, last: str, left: int | None = None) -> str:
        """Where the page begins that comes after `last`; `left`: how many are asked for from there on ($top)."""
        asked = [(key, value) for key, value in request.query_params.multi_items() if key not in ("$skip", "$top")]
        more = [("$skip", last), *([] if left is None else [("$top", str(left))])]
        return f"{self.base(request)}{quote(request.url.path)}?{urlencode([*asked, *more], safe='$')}"

    def most(self, top: int | None) -> int:
        """How many a page shows, where `top` are asked for."""
        return min(top or self.page, self.page)

    def paged(self, request: Request, found: Sequence[Found], name: Callable[[Found], str], body: Callable) -> Body:
        """A page of what is at hand whole, in the order of its names."""
        skip = request.query_params.get("$skip", "")
        left = sorted((one for one in found if name(one) > skip), key=name)
        shown = left[: self.page]
        next_link = self.next(request, name(shown[-1])) if len(left) > len(shown) else None
        return page([body(one) for one in shown], next_link)

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


def labelled(labels: Mapping[str, str], asked: str) -> bool:
    """Whether they have what `name,other=value` asks for."""
    pairs = [one.partition("=") for one in asked.split(",") if one]
    return all(name in labels and (not equals or labels[name] == value) for name, equals, value in pairs)


def id_of(place: Place, *parts: str) -> str:
    """The id of what lies in a workspace, as `…/jobs/name`."""
    return "/".join((workspace_id(place.subscription, place.resource_group, place.workspace), *parts))
