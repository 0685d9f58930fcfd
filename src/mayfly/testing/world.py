"""The server's services over a real store and real folders, with a clock, ids, machines and a resolver in our hands."""

from __future__ import annotations

import hashlib
import itertools
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mayfly.domain.compute import Fleet
from mayfly.drivers.block_folder import BlockFolder
from mayfly.drivers.content_folder import ContentFolder
from mayfly.drivers.image_engine import NoEngine
from mayfly.drivers.log_folder import LogFolder
from mayfly.drivers.node_cache import NodeCache
from mayfly.drivers.storage import AnyStorage
from mayfly.engine.fleet import tend
from mayfly.engine.scheduling import schedule
from mayfly.kit.clock import Millis
from mayfly.kit.errors import MayflyError, Unavailable
from mayfly.kit.ids import Digest, RunId, sortable
from mayfly.ports.images import ImageEngine
from mayfly.ports.resolver import Interpreter
from mayfly.services import places, quotas
from mayfly.services.attempts import speaker
from mayfly.services.contacts import Contacts
from mayfly.services.feeding import Feeder
from mayfly.services.offers import Offers
from mayfly.services.pages import Pages
from mayfly.services.places import DEFAULT, Place
from mayfly.services.runs import Runs
from mayfly.services.sealing import Sealing
from mayfly.services.signatures import Signatures
from mayfly.services.tokens import Tokens
from mayfly.services.tracking import TrackingDoor
from mayfly.services.wakeups import Wakeups
from mayfly.services.world import World
from mayfly.store import jobs, ledgers, schema
from mayfly.store.jobs import JobRow
from mayfly.store.tracking import StoredTracking
from mayfly.store.unit import Store
from mayfly.testing.providers import MemoryMachines, MemoryProvider
from mayfly.testing.snapshots import machine
from mayfly.transfer import trees
from mayfly.wire.agent import Tree, TreeEntry
from mayfly.wire.mayfly import Submission

HERE = Place(*DEFAULT)


class ManualClock:
    """Implements `kit.clock.Clock`. Time passes when it is told to."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._lock = threading.Lock()
        self._now = now

    def now(self) -> Millis:
        with self._lock:
            return Millis(self._now)

    def advance(self, milliseconds: int) -> None:
        with self._lock:
            self._now += milliseconds


class CountedIds:
    """Implements `kit.ids.IdMaker` without randomness."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def new(self, kind: str) -> str:
        return sortable(kind, next(self._next), 0)

    def run(self) -> RunId:
        return RunId(f"{next(self._next):032x}")

    def secret(self) -> str:
        return f"secret-{next(self._next)}"

    def name(self) -> str:
        return f"plain_pebble_{next(self._next):010d}"


class ScriptedResolver:
    """Implements `ports.resolver.PackageResolver`: says its lines, then gives a lock, or raises `failure`. While
    `gate` is clear it waits for it, as a slow resolution would."""

    def __init__(self) -> None:
        self.failure: MayflyError | None = None
        self.lines: list[str] = ["looking", "found"]
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[tuple[str, ...]] = []
        self.fresh: list[bool] = []

    def interpreters(self) -> Sequence[Interpreter]:
        return (Interpreter(sys.executable, ".".join(map(str, sys.version_info[:3]))),)

    def resolve(
        self,
        requirements: Sequence[str],
        interpreter: Interpreter,
        say: Callable[[str], None],
        cancelled: threading.Event | None = None,
        *,
        fresh: bool = False,
    ) -> str:
        self.asked.append(tuple(requirements))
        self.fresh.append(fresh)
        for line in self.lines:
            say(line)
        while not self.gate.wait(0.01):
            if cancelled is not None and cancelled.is_set():
                raise Unavailable("EnvironmentResolveCancelled", "The resolution of the packages was given up.")
        if self.failure is not None:
            raise self.failure
        return "".join(f"{one}==1.0 --hash=sha256:{'0' * 64}\n" for one in requirements)


@dataclass
class Scene:
    """One server's world, and hands for what tests do with it."""

    world: World
    clock: ManualClock
    provider: MemoryProvider
    resolver: ScriptedResolver

    def submission(self, command: str = "echo hello", **changes: Any) -> Submission:
        """The smallest job; `changes` are keys of its definition, or `uploads` and `files`."""
        uploads, files = changes.pop("uploads", {}), changes.pop("files", [])
        given = {"command": command, "environment": {"image": "library/python:latest"}, **changes}
        return Submission(definition=given, uploads=uploads, files=files)

    def upload(self, **files: bytes) -> str:
        """Put a folder into the content store; the digest of its tree."""
        entries = []
        for path, data in sorted(files.items()):
            digest = hashlib.sha256(data).hexdigest()
            self.world.content.put(Digest(digest), [data])
            entries.append(TreeEntry(path=path, digest=digest, size=len(data)))
        tree = Tree(entries=tuple(entries))
        self.world.content.put(trees.digest_of(tree), [trees.canonical(tree)])
        return trees.digest_of(tree)

    def row(self, job: str) -> JobRow:
        found = self.world.store.read(lambda connection: jobs.by_id(connection, job))
        assert found is not None, f"there is no {job}"
        return found

    def turn(self) -> None:
        """Let the motor look once: place what waits, then tend the machines."""
        schedule(self.world)
        tend(self.world)


def scene(
    folder: Path,
    url: str,
    fleet: Fleet | None = None,
    machines: MemoryMachines | None = None,
    images: ImageEngine | None = None,
) -> Scene:
    """A server as `main.server` composes it, over the database at `url` and folders below `folder`. A second one with
    the same arguments is the same server started again; `machines` outlive it."""
    clock, wakeups, resolver = ManualClock(), Wakeups(), ScriptedResolver()
    store = Store(url, wakeups.wake)
    provider = MemoryProvider(fleet or machine(cores=4), machines or MemoryMachines())
    world = World(
        clock=clock,
        ids=CountedIds(),
        store=store,
        content=ContentFolder(folder / "content"),
        blocks=BlockFolder(folder / "blocks"),
        logs=LogFolder(folder / "logs"),
        provider=provider,
        resolver=resolver,
        images=images or NoEngine(),
        caches=NodeCache(folder / "cache", folder / "nodes"),
        storage=AnyStorage(),
        sealing=Sealing(b"a secret of thirty-two bytes, or more"),
        tokens=Tokens(b"a secret of thirty-two bytes, or more"),
        signatures=Signatures(b"a secret of thirty-two bytes, or more"),
        wakeups=wakeups,
        contacts=Contacts(clock.now()),
        fleet=provider.fleet(),
        epoch=schema.epoch(store),
        version="0",
        state_folder=str(folder),
        database=url,
        started_at=clock.now(),
        automatic=False,
        isolation="none",
        isolation_note="",
    )
    store.write(lambda unit: ledgers.set_capacity(unit, world.fleet.provider, world.fleet.total))
    quotas.refresh_defaults(world)
    places.create(world, HERE)
    return Scene(world, clock, provider, resolver)


def tracking(world: World) -> tuple[TrackingDoor, Pages, Feeder]:
    """The doors of tracking, as `main.server` composes them."""
    rows = StoredTracking(world.store)
    runs = Runs(world.mlflow, rows, world.clock)
    feeder = Feeder(world.mlflow, rows, runs, lambda job: speaker(world, job))
    offers = Offers(world)
    return (
        TrackingDoor(world.mlflow, rows, runs, feeder, offers),
        Pages(world, rows, runs, feeder, offers),
        feeder,
    )
