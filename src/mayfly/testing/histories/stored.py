"""The services themselves as the server of a history, over a real store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from mayfly.domain.compute import Amount, Target
from mayfly.domain.job import Job
from mayfly.domain.node import Node
from mayfly.engine.fleet import tend
from mayfly.engine.scheduling import schedule
from mayfly.engine.watching import watch
from mayfly.kit.errors import NotFound
from mayfly.services import jobs as job_service
from mayfly.services import logs, submit
from mayfly.services import nodes as node_service
from mayfly.services import reports as report_service
from mayfly.services.contacts import Contacts
from mayfly.services.nodes import WishBook
from mayfly.services.progress import Progress
from mayfly.store import jobs, ledgers, nodes
from mayfly.store.sanity import sanity_check
from mayfly.store.unit import Store, Unit
from mayfly.testing.databases import Databases, in_memory
from mayfly.testing.histories.moves import ASKED, Shape
from mayfly.testing.histories.node import Told, Wishes
from mayfly.testing.histories.server import Mortal, Server
from mayfly.testing.providers import MemoryProvider
from mayfly.testing.world import HERE, CountedIds, ManualClock, scene
from mayfly.wire import agent as wire

_LOG = "user_logs/std_log.txt"
_LOOKS = 6
"""Every so many looks all laws are asked of the store, which reads every row."""
_PRIORITIES = {1: "low", 2: "medium", 3: "high"}

Result = TypeVar("Result")


class _Ids(CountedIds):
    """Jobs have their names as their ids, so that a story reads the same whoever served it."""

    job = ""

    def new(self, kind: str) -> str:
        return self.job if kind == "job" else super().new(kind)


class _MortalStore(Store):
    """A store whose server may die before or after any commit."""

    def __init__(self, store: Store, mortal: Mortal) -> None:
        self.__dict__.update(store.__dict__)
        self._mortal = mortal
        self.writes = 0

    def write(self, work: Callable[[Unit], Result], *, patient: bool = False) -> Result:
        self.writes += 1
        with self._mortal.unit():
            return super().write(work, patient=patient)

    def submit(self, work: Callable[[Unit], Result], *, patient: bool = False) -> Future[Result]:
        self.writes += 1
        with self._mortal.unit():
            future = super().submit(work, patient=patient)
            future.exception()
            return future


class StoredServer(Server):
    def __init__(self, provider: MemoryProvider, clock: ManualClock, url: str | None = None) -> None:
        """`url`: a fresh database; None makes one that is gone in the end."""
        self.mortal = Mortal()
        self._folder = Path(tempfile.mkdtemp(prefix="mayfly-history-", dir=in_memory()))
        if url is None:
            shutil.copyfile(_template(), self._folder / "mayfly.db")
            url = f"sqlite:///{self._folder / 'mayfly.db'}"
        stage = scene(self._folder, url)
        self._ids, self._looks = _Ids(), 0
        self._store = _MortalStore(stage.world.store, self.mortal)
        self._known: tuple[int, dict[str, Job]] = (-1, {})
        self._submission = stage.submission
        self._world = replace(
            stage.world,
            store=self._store,
            clock=clock,
            ids=self._ids,
            provider=provider,
        )
        self.start()

    def start(self) -> None:
        now = self._world.clock.now()
        self._world = replace(self._world, started_at=now, contacts=Contacts(now), progress=Progress())
        self._book = WishBook(self._world)

    # --- people and the motor ----------------------------------------------------------------------------------------

    def submit(self, name: str, shape: Shape) -> None:
        self._ids.job = name
        asked, given = shape.request, {"name": name}
        wanted: dict[str, Any] = {
            "resources": {"instance_type": asked.instance_type, "instance_count": asked.node_count},
            "queue_settings": {"job_tier": asked.tier.value, "priority": _PRIORITIES[shape.priority]},
        }
        if asked.target is Target.LOCAL:
            wanted = {"compute": "local", "resources": wanted["resources"]}
        submit.submit(self._world, shape.submitter, HERE, self._submission(**given, **wanted))

    def cancel(self, name: str) -> None:
        job_service.cancel_by_id(self._world, name, ASKED)

    def schedule(self) -> None:
        schedule(self._world)

    def tend(self) -> None:
        tend(self._world)

    def watch(self) -> None:
        watch(self._world)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def greet(self, name: str, fences: list[wire.Fence]) -> None:
        hello = wire.Hello(
            node=name,
            protocols=wire.SUPPORTED,
            version="0",
            boot_id="boot",
            address="10.0.0.1",
            isolation="none",
            attempts=tuple(fences),
        )
        node_service.greet(self._world, name, hello)

    def wishes(self, name: str) -> Wishes:
        node_service.heard(self._world, name)
        return self._read(name)

    def report(self, name: str, reports: tuple[wire.AnyReport, ...]) -> Wishes:
        self._world.contacts.hear(name, self._world.clock.now())
        report_service.apply(self._world, name, reports)
        return self._read(name)

    def _read(self, name: str) -> Wishes:
        found = self._book.read(name)
        return Wishes(found.version, found.node, tuple(_told(wish) for wish in found.attempts), found.unknown)

    def log(self, name: str, fence: wire.Fence, rank: int, offset: int, data: bytes) -> int:
        try:
            return logs.append(self._world, name, fence.job, fence.attempt, rank, _LOG, offset, data)
        except NotFound:
            return offset

    # --- what it is asked by who checks it ---------------------------------------------------------------------------

    def job(self, name: str) -> Job | None:
        if self._known[0] != self._store.writes:
            self._known = (self._store.writes, {})
        found = self._known[1]
        if name not in found:
            row = self._store.read(lambda connection: jobs.by_id(connection, name))
            if row is None:
                return None
            found[name] = row.job
        return found[name]

    def log_of(self, name: str, attempt: int, rank: int) -> bytes:
        return self._world.logs.read(name, attempt, rank, _LOG, 0, 1 << 20)

    def nodes(self) -> dict[str, Node]:
        return {row.id: row.node for row in self._world.store.read(nodes.present)}

    def problems(self) -> list[str]:
        self._looks += 1
        return self._world.store.read(sanity_check) if self._looks % _LOOKS == 0 else []

    def holds_nothing(self) -> bool:
        store, provider = self._world.store, self._world.fleet.provider
        held = store.read(lambda connection: ledgers.capacity_held(connection, provider))
        return held == Amount() and not any(row.held for row in store.read(ledgers.quotas).values())

    def close(self) -> None:
        self._world.store.close()
        shutil.rmtree(self._folder)


def _told(wish: wire.Wish) -> Told:
    rank, alone = 0, False
    if wish.assignment is not None:
        rank, alone = wish.assignment.rank, wish.assignment.node_count == 1
    granted = wish.action == "run" and wish.go is not None
    return Told(wish.fence, wish.action, rank, granted, wish.stop_reason, alone)


@lru_cache
def _template() -> Path:
    """An empty database of the newest schema; gone with this process."""
    folder = tempfile.TemporaryDirectory(prefix="mayfly-template-", ignore_cleanup_errors=True)
    _kept.append(folder)
    Databases(Path(folder.name)).fresh("sqlite", Path(folder.name))
    return Path(folder.name) / "mayfly.db"


_kept: list[tempfile.TemporaryDirectory[str]] = []
