"""Make wanted environments, one at a time each, several beside each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from mayfly.kit.errors import Unavailable
from mayfly.services.environments import ResolveLog, drop_unwanted, resolve, still_wanted
from mayfly.services.world import World
from mayfly.store import environments
from mayfly.store.environments import LEASE, EnvironmentRow

log = structlog.get_logger()


class Resolving:
    """Single flight for each definition: a lease on its row, renewed while it lasts, keeps it single across servers.
    `look_s`: how often a flight asks whether anybody still waits for it."""

    def __init__(self, world: World, holder: str = "the embedded server", beside: int = 2, look_s: float = 1.0) -> None:
        self._world = world
        self._holder = holder
        self._look_s = look_s
        self._pool = ThreadPoolExecutor(beside, thread_name_prefix="resolve")
        self._lock = threading.Lock()
        self._flying: dict[str, Flight] = {}
        self._closed = False

    def work(self) -> float | None:
        left = False
        for row in self._world.store.read(environments.wanted):
            if row.kind == "build" and row.placement is None:
                drop_unwanted(self._world, row.digest)  # else it is the scheduler's turn
                continue
            with self._lock:
                if row.digest in self._flying or self._closed:
                    continue
                flight = self._flying[row.digest] = Flight(self._world, row, self._holder, self._look_s)
            left = True
            self._pool.submit(self._fly, flight)
        return 10.0 if left else None  # one that another server has may be ours when its lease runs out

    def close(self) -> None:
        """End what resolves now; it is wanted still, and the next server takes it up."""
        with self._lock:
            self._closed = True
            for flight in self._flying.values():
                flight.give_up()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def flying(self) -> frozenset[str]:
        """What is being made now."""
        with self._lock:
            return frozenset(self._flying)

    def _fly(self, flight: Flight) -> None:
        try:
            flight.run()
        except Unavailable as error:
            log.info("environment not resolved yet", digest=flight.digest, code=error.code)
        except Exception:
            log.exception("environment not resolved", digest=flight.digest)
        finally:
            with self._lock:
                self._flying.pop(flight.digest, None)
            if flight.dropped and not self._closed:
                self._world.wakeups.wake({"environments"})  # somebody may have come meanwhile


class Flight:
    """One environment in the making."""

    def __init__(self, world: World, row: EnvironmentRow, holder: str, look_s: float) -> None:
        self.digest = row.digest
        self.dropped = False
        self._world, self._row, self._holder, self._look_s = world, row, holder, look_s
        self._cancelled, self._done = threading.Event(), threading.Event()

    def give_up(self) -> None:
        self._cancelled.set()

    def run(self) -> None:
        """Until it is made, has failed, or was given up. Nothing happens where another server makes it."""
        if not self._claimed():
            return
        keeper = threading.Thread(target=self._keep, name="resolve-lease", daemon=True)
        keeper.start()
        try:
            tries = self._world.store.write(lambda unit: environments.begin(unit, self.digest))
            say = ResolveLog(self._world, self.digest, tries).say
            resolve(self._world, self._row, say, self._cancelled, self._holder)
        finally:
            self._done.set()
            keeper.join()
            if self.dropped:
                drop_unwanted(self._world, self.digest)
            self._world.store.write(lambda unit: environments.let_go(unit, self.digest, self._holder))

    def _claimed(self) -> bool:
        return self._world.store.write(lambda unit: environments.claim(unit, self.digest, self._holder))

    def _keep(self) -> None:
        """Renew the lease; give up when it is another's, or when nobody waits any more."""
        every = max(1, round(LEASE / 3000 / self._look_s))
        looks = 0
        while not self._done.wait(self._look_s) and not self._cancelled.is_set():
            looks += 1
            try:
                if not still_wanted(self._world, self.digest):
                    self.dropped = True
                elif looks % every or self._claimed():
                    continue
            except Exception:
                log.exception("environment not looked after", digest=self.digest)
                continue
            self._cancelled.set()
