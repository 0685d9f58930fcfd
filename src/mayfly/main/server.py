"""The server's composition root: `python -m mayfly.main.server --home FOLDER [--automatic]`; MAYFLY_DATABASE names its store."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

import structlog
import uvicorn

from mayfly import __version__
from mayfly.api.app import build
from mayfly.domain.node import IDLE_MS
from mayfly.drivers.authority import Authority
from mayfly.drivers.block_folder import BlockFolder
from mayfly.drivers.content_folder import ContentFolder
from mayfly.drivers.image_engine import CommandLineEngine
from mayfly.drivers.local import LocalProvider
from mayfly.drivers.log_folder import LogFolder
from mayfly.drivers.mlflow_server import MlflowServer
from mayfly.drivers.node_cache import NodeCache
from mayfly.drivers.resolver_uv import UvResolver
from mayfly.drivers.storage import AnyStorage
from mayfly.engine.ending import Ending
from mayfly.engine.fleet import GREETING_MS, tend
from mayfly.engine.loop import Duty, Engine
from mayfly.engine.neighbours import Neighbours
from mayfly.engine.pipelines import Pipelines
from mayfly.engine.resolving import Resolving
from mayfly.engine.scheduling import schedule
from mayfly.engine.watching import watch
from mayfly.kit.errors import MayflyError
from mayfly.main.folder import Home
from mayfly.main.making import RandomIds, SteadyClock
from mayfly.main.state import State
from mayfly.services import places, quotas, stopping
from mayfly.services.attempts import speaker
from mayfly.services.contacts import Contacts
from mayfly.services.feeding import Feeder
from mayfly.services.mlflow import Mlflow
from mayfly.services.offers import Offers
from mayfly.services.pages import Pages
from mayfly.services.places import DEFAULT, Place
from mayfly.services.runs import Runs
from mayfly.services.sealing import Sealing
from mayfly.services.signatures import Signatures
from mayfly.services.stopping import Stopping
from mayfly.services.tidings import Tidings
from mayfly.services.tokens import Tokens
from mayfly.services.tracking import TrackingDoor
from mayfly.services.wakeups import Wakeups
from mayfly.services.world import World
from mayfly.store import dialect, ledgers, schema
from mayfly.store.notices import Notices
from mayfly.store.tracking import StoredTracking
from mayfly.store.unit import Store

log = structlog.get_logger()

TURN_S = 0.001
"""How long a thread may keep the interpreter while others wait: a fifth of Python's own, so that a request, which waits for its
turn after each look into the store, is not held up by the duties."""


def main() -> None:
    options = _options()
    os.umask(0o077)
    _log_to_stderr()
    try:
        serve(Home(options.home.absolute()), options)
    except MayflyError as error:
        hint = f" {error.remedy}" if error.remedy else ""
        sys.exit(f"{error.code}: {error.message}{hint}")


def serve(home: Home, options: argparse.Namespace) -> None:
    """Run until told to stop; jobs that run then go on."""
    wakeups = Wakeups()
    url = home.database(os.environ.get("MAYFLY_DATABASE", ""))
    store = Store(url, wakeups.wake)
    schema.upgrade(store)
    state = State(home, store)
    mlflow = MlflowServer(state.path / "mlflow")
    world = _world(home, state, store, wakeups, options, mlflow)
    neighbours = _neighbours(world, url)
    rows = StoredTracking(world.store)
    runs = Runs(world.mlflow, rows, world.clock)
    feeder = Feeder(world.mlflow, rows, runs, lambda job: speaker(world, job))
    offers = Offers(world)
    tracking = TrackingDoor(world.mlflow, rows, runs, feeder, offers)
    server: list[_Announcing] = []
    stop = Stopping(world, lambda: _end(server))
    authority = Authority(home.path / "tls", (socket.gethostname().lower(),), world.clock)
    listener, secure = home.bind(), home.bind("port_tls")
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    secure_address = f"https://127.0.0.1:{secure.getsockname()[1]}"
    pages = Pages(world, rows, runs, feeder, offers)
    app = build(world, tracking, pages, lambda: stopping.view(world), stop, secure_address, address)
    record = home.record(address, secure_address, authority.certificate, world.started_at, options.automatic)

    def announce() -> None:
        state.servers.announce(record)
        home.announce(record)

    server.append(_Announcing(_config(app), announce, stop, secure, authority))
    holder = _holder(world)
    resolving = Resolving(world, holder)
    engine = Engine(world, holder, _duties(world, feeder, resolving, stop, options))
    if neighbours is not None:
        neighbours.start()
    share_interpreter()
    engine.start()
    try:
        server[0].run([listener])
    finally:
        state.servers.leave()
        home.withdraw()
        resolving.close()
        engine.stop()
        if neighbours is not None:
            neighbours.stop()
        mlflow.close()
        world.store.close()
        log.info("server stopped")
    sys.stderr.flush()
    os._exit(0)  # threads that wait for a package resolver or a job's upload must not delay the end


def share_interpreter() -> None:
    """No thread keeps the interpreter from the others for long, once everything is loaded: what is there then stays to the end,
    and to look through it for garbage took a tenth of a second in which nobody was answered."""
    sys.setswitchinterval(TURN_S)
    gc.freeze()


def _world(
    home: Home, state: State, store: Store, wakeups: Wakeups, options: argparse.Namespace, mlflow: MlflowServer
) -> World:
    clock = SteadyClock()
    tokens = Tokens(state.secret())
    home.keep_user_token(tokens)
    orphan = _milliseconds("MAYFLY_ORPHAN_SECONDS", 0)
    provider = LocalProvider(state.path, state.path / "cache", orphan_s=orphan / 1000 if orphan else None)
    fleet = provider.fleet()
    isolation, note = _isolation()
    started = clock.now()
    world = World(
        clock=clock,
        ids=RandomIds(clock),
        store=store,
        content=ContentFolder(state.path / "content", shared=_shared(store)),
        blocks=BlockFolder(state.path / "blocks"),
        logs=LogFolder(state.path / "logs"),
        provider=provider,
        resolver=UvResolver(),
        images=CommandLineEngine(),
        caches=NodeCache(state.path / "cache", state.path / "nodes"),
        storage=AnyStorage(),
        sealing=Sealing(state.secret()),
        tokens=tokens,
        signatures=Signatures(state.secret()),
        wakeups=wakeups,
        contacts=Contacts(started),
        fleet=fleet,
        epoch=schema.epoch(store),
        version=__version__,
        state_folder=str(state.path),
        database="postgresql" if _shared(store) else str(store.engine.url),
        started_at=started,
        automatic=options.automatic,
        isolation=isolation,
        isolation_note=note,
        mlflow=Mlflow(mlflow),
        settings=home.settings,
        peers=state.servers,
    )
    store.write(lambda unit: ledgers.set_capacity(unit, fleet.provider, fleet.total))
    quotas.refresh_defaults(world)
    places.create(world, Place(*DEFAULT))
    return world


def _shared(store: Store) -> bool:
    """Whether other servers may have the same store."""
    return not dialect.is_sqlite(store.engine)


def _neighbours(world: World, url: str) -> Neighbours | None:
    """The server of an SQLite store has none."""
    if not _shared(world.store):
        return None
    tidings = Tidings(world.peers.me, world.wakeups, world.contacts, world.progress, world.clock)
    return Neighbours(world, tidings, Notices(url, tidings.hear, world.wakeups.wake_all_here))


def _holder(world: World) -> str:
    """Who holds the duties' leases. An SQLite store has one server (its folder is locked), so the next one takes up its
    leases at once; so does, on PostgreSQL, the next server of the same home."""
    return world.peers.me if _shared(world.store) else "the embedded server"


def _duties(
    world: World, feeder: Feeder, resolving: Resolving, stop: Stopping, options: argparse.Namespace
) -> tuple[Duty, ...]:
    idle = _milliseconds("MAYFLY_IDLE_SECONDS", IDLE_MS)
    greeting = _milliseconds("MAYFLY_GREETING_SECONDS", GREETING_MS)
    pipelines = Pipelines(world)
    duties = (
        Duty("scheduling", ("scheduling",), lambda: schedule(world)),
        Duty("fleet", ("fleet",), lambda: tend(world, idle, greeting)),
        Duty("watching", ("fleet",), lambda: watch(world)),
        Duty("resolving", ("environments",), resolving.work),
        Duty("feeding", ("tracking",), feeder.work),
        Duty("pipelines", ("pipelines", "ended"), pipelines.work, begin=pipelines.forget),
        Duty("ending", ("ended",), Ending(world, feeder).work, gathers_s=0.5),
    )
    if not options.automatic:
        return duties

    unused = _milliseconds("MAYFLY_SERVER_IDLE_SECONDS", stopping.IDLE)

    def end_when_unused() -> float | None:
        if stopping.idle(world, unused):
            log.info("no job, no node and no request for a while: the server ends by itself")
            stop.down("stop")
        return unused / 4000

    return (*duties, Duty("ending itself", (), end_when_unused))


def _milliseconds(variable: str, default: int) -> int:
    """A time that may be set in seconds."""
    return int(float(os.environ.get(variable, default / 1000)) * 1000)


class _Announcing(uvicorn.Server):
    """Says where it listens once it does, on `secure` by TLS too; a first signal means `down`, a second one now."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], None],
        stop: Stopping,
        secure: socket.socket,
        authority: Authority,
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._stop = stop
        self._secure = secure
        self._authority = authority
        self._told = False
        self._wake: Callable[[], object] = lambda: None

    def handle_exit(self, sig: int, frame) -> None:
        if self._told:
            super().handle_exit(sig, frame)
            self._wake()
        self._told = True
        self._stop.finish_soon()

    def end(self) -> None:
        """Any thread may ask for it."""
        self.should_exit = True
        self._wake()

    async def main_loop(self) -> None:
        """Uvicorn's own looks ten times a second whether it should end, which is half of what a server at rest costs."""
        loop, woken, ticks = asyncio.get_running_loop(), asyncio.Event(), 0
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        while not await self.on_tick(ticks):
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), 1.0)
            ticks += 10  # of uvicorn's: once a second it sets its date

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        if self.started:
            listening = await asyncio.get_running_loop().create_server(
                self._protocol, sock=self._secure, ssl=self._authority.context, backlog=2048
            )
            self.servers.append(listening)
            self._announce()

    def _protocol(self) -> asyncio.Protocol:
        kind = cast(type, self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _config(app) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",  # it bounds the head of a request (decision 20)
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        lifespan="off",
    )


def _end(server: list[_Announcing]) -> None:
    if server:
        server[0].end()
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def _isolation() -> tuple[str, str]:
    """What a job of this machine would get, tried out, and what to say when that is little."""
    if _runs("unshare", "--user", "--map-root-user", "--mount", "true"):
        return "namespaces", ""
    if _runs("bwrap", "--ro-bind", "/", "/", "true"):
        return "bubblewrap", ""
    if os.geteuid() == 0:
        return "uid", "Neither namespaces nor bubblewrap work here: jobs run under users of their own."
    return (
        "none",
        "Jobs are not isolated on this machine: a job can read what you can read. Install bubblewrap to change that.",
    )


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mayfly.main.server")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--automatic", action="store_true")
    return parser.parse_args()


class _Forgiving:
    """A log that cannot be written, on a full disk say, stops nobody's work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Forgiving(sys.stderr))),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    main()
