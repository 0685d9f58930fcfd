"""The application: guard, routes, problems."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from mayfly.api import (
    agents,
    assets,
    azureml,
    components,
    datastores,
    document,
    environments,
    housekeeping,
    job_page,
    pages,
    people,
    problems,
)
from mayfly.api.azureml.here import Here
from mayfly.api.azureml.metadata import Metadata
from mayfly.api.blob import BlobDoor
from mayfly.api.doors import Guard
from mayfly.api.straight import Straight
from mayfly.api.workspace import IN_WORKSPACE
from mayfly.kit.errors import Unavailable
from mayfly.services import attempts
from mayfly.services.accesstokens import AccessTokens
from mayfly.services.nodes import WishBook
from mayfly.services.pages import Pages
from mayfly.services.stopping import Stopping
from mayfly.services.tracking import TrackingDoor
from mayfly.services.world import World
from mayfly.wire import mayfly as wire

SUBMISSION = re.compile(f"{IN_WORKSPACE}/jobs")
_JOBS = re.compile(r"/jobs(/[^/]+)?$")


def build(
    world: World,
    tracking: TrackingDoor,
    shown: Pages,
    server_view: Callable[[], wire.ServerView],
    stop: Stopping,
    secure_url: str = "",
    url: str = "",
    page: int = 100,
) -> ASGIApp:
    """The doors of one server, behind their guard. `secure_url` and `url`: where its TLS listener and its plain one are
    found on this machine. `page`: how much collections shaped as Azure's show at a time."""
    app = FastAPI(title="Mayfly", version=world.version, docs_url=None, redoc_url=None)

    def trouble(error: Unavailable) -> None:
        world.troubles.tell(error, world.clock.now())

    problems.install(app, trouble)
    document.install(app)
    often = agents.doors(world, WishBook(world))
    access = AccessTokens(world.tokens)
    here = Here(world, stop, access, secure_url, shown, url, page)
    routers = (
        people.router(world, server_view, stop, shown),
        assets.router(world),
        datastores.router(world),
        environments.router(world),
        components.router(world),
        housekeeping.router(world),
        pages.router(shown),
        job_page.router(world),
        agents.router(world, tracking, often),
    )
    routes = app.router.routes  # to include the routers would make each of their routes a second time
    submissions = ("POST", SUBMISSION, people.submission(world, stop))
    routes.insert(0, Straight(app, (submissions, *azureml.often(here))))
    routes += [route for router in routers for route in router.routes]
    routes += azureml.routes(here)

    def guarded(inside: ASGIApp) -> Guard:
        return Guard(inside, world.tokens, access, world.clock, lambda one: attempts.live(world, one))

    nodes = agents.AtOnce(often, trouble)
    return _first(nodes, guarded(nodes), Metadata(BlobDoor(world, guarded(_noting(app, world))), here.base))


def _first(nodes: agents.AtOnce, guarded: ASGIApp, others: ASGIApp) -> ASGIApp:
    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        await (guarded if nodes.takes(scope) else others)(scope, receive, send)

    return first


def _noting(app: ASGIApp, world: World) -> ASGIApp:
    """Remember when a person's client last called: a server that started by itself ends when nobody does. Announce what
    submits a job: many at once are then kept together."""

    async def noting(scope, receive, send) -> None:
        if scope["type"] != "http" or scope["principal"].kind != "user":
            await app(scope, receive, send)
            return
        world.contacts.request(world.clock.now())
        submits = scope["method"] in ("POST", "PUT") and _JOBS.search(scope["path"]) is not None
        with world.store.company.coming() if submits else nullcontext():
            await app(scope, receive, send)

    return noting
