"""One loop serves every duty: woken by hints, by a slow clock where nobody woke it, and only by one server at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Unavailable
from mayfly.services.world import World
from mayfly.store import leases
from mayfly.store.unit import Unit

LEASE = Millis(30_000)
ASK_S = 5.0
"""How often a server asks for a lease that another one has."""
FREED = "leases"
"""Woken when leases may be free before their time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Duty:
    name: str
    topics: tuple[str, ...]
    work: Callable[[], float | None]
    """Do what the rows ask for; the seconds until it wants to look again without being woken (None: only if woken, or
    after `net_s`). It must be repeatable: it may be killed at any line."""
    net_s: float = 60.0
    """The safety net: how long it waits at the most."""
    gathers_s: float = 0.0
    """How long it lets others come after it was woken, when nobody waits for it: many hints are then one look."""
    begin: Callable[[], None] = lambda: None
    """Comes before `work` when another server may have done it meanwhile: what is remembered of the rows may be old."""


class _Pace:
    """A duty that is woken without end works half of the time at the most, so that many hints cost one look. One that is woken
    now and then never rests."""

    BURST_S, LONGEST_S = 0.05, 0.25

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._saved = self.BURST_S

    def rest(self) -> float:
        """Seconds to leave to others before the next work begins."""
        now = time.monotonic()
        self._saved = min(self.BURST_S, self._saved + now - self._since)
        rest = min(self.LONGEST_S, max(0.0, -self._saved))
        self._saved += rest
        self._since = now + rest
        return rest

    def worked(self) -> None:
        now = time.monotonic()
        self._saved = max(-self.LONGEST_S, self._saved - (now - self._since))
        self._since = now


class Engine:
    """A thread for each duty. `stop` lets the work in hand finish, and leaves the duties to other servers."""

    def __init__(self, world: World, holder: str, duties: tuple[Duty, ...]) -> None:
        self._world = world
        self._holder = holder
        self._duties = duties
        self._stopping = threading.Event()
        self._claimed: dict[str, Millis] = {}
        self._at_work: set[str] = set()
        self._renewing = threading.Lock()
        self._refused: dict[str, Millis] = {}
        self._wakes: list[threading.Event] = []
        self._threads = [
            threading.Thread(target=self._serve, args=(duty,), name=f"duty-{duty.name}", daemon=True) for duty in duties
        ]

    def start(self) -> None:
        self._freed = self._world.wakeups.calling(self._ask_again, [FREED])
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        self._stopping.set()
        for event in self._wakes:
            event.set()
        for thread in self._threads:
            thread.join(timeout=timeout_s)
        self._freed.close()
        self._leave()

    def _ask_again(self) -> None:
        """Leases may be free before their time."""
        self._refused.clear()
        for event in self._wakes:
            event.set()

    def _leave(self) -> None:
        """Duties that are still at work keep their leases until these run out."""
        left = [duty for duty, thread in zip(self._duties, self._threads, strict=True) if not thread.is_alive()]

        def release(unit: Unit) -> None:
            for duty in left:
                leases.release(unit, duty.name, self._holder)
            unit.wake(FREED)

        with suppress(Unavailable):
            self._world.store.write(release)

    def _serve(self, duty: Duty) -> None:
        woken, listener = self._world.wakeups.on_thread(duty.topics)
        self._wakes.append(woken)
        failures = 0
        pause: float | None = 0.0
        pace = _Pace()
        while not self._stopping.is_set():
            woken.wait(timeout=duty.net_s if pause is None else min(pause, duty.net_s))
            self._stopping.wait(max(duty.gathers_s, pace.rest()))
            woken.clear()
            if self._stopping.is_set():
                break
            try:
                pause = self._work(duty) if self._mine(duty) else ASK_S
                failures = 0
            except Unavailable as error:
                log.warning("duty delayed", duty=duty.name, code=error.code, reason=error.message)
                failures, pause = failures + 1, min(2.0**failures, 30.0)
            except Exception:
                log.exception("duty failed", duty=duty.name)
                failures, pause = failures + 1, min(2.0**failures, 30.0)
            pace.worked()
        listener.close()

    def _work(self, duty: Duty) -> float | None:
        self._at_work.add(duty.name)
        try:
            return duty.work()
        finally:
            self._at_work.discard(duty.name)

    def _still_mine(self, name: str, now: Millis) -> bool:
        """Whether it holds the lease since before. When half of that has passed it is renewed in one unit with those of all
        duties that are not at work: one that never comes back from its work loses its lease, to a server where it might."""
        with self._renewing:
            if name in self._claimed and not 0 <= now - self._claimed[name] < LEASE // 2:
                names = [one for one in self._claimed if one not in self._at_work]
                kept = self._world.store.write(lambda unit: leases.renew(unit, names, self._holder, LEASE))
                for one in names:
                    self._claimed.pop(one, None)
                self._claimed.update(dict.fromkeys(kept, now))
            return name in self._claimed

    def _mine(self, duty: Duty) -> bool:
        """Hold the lease; it is renewed when half of it has passed, or when this machine's clock was set back. Another's is
        asked for again after a while, or when it may be free, not at every hint."""
        name, now = duty.name, self._world.clock.now()
        if self._still_mine(name, now):
            return True
        if name in self._refused and 0 <= now - self._refused[name] < ASK_S * 1000:
            return False

        def claim(unit: Unit) -> tuple[str | None, bool]:
            before = leases.holder_of(unit, name)
            return before, leases.claim(unit, name, self._holder, LEASE)

        before, taken = self._world.store.write(claim)
        if not taken:
            self._claimed.pop(name, None)
            self._refused[name] = now
            return False
        self._refused.pop(name, None)
        if before != self._holder:
            duty.begin()
        self._claimed[name] = now
        return True
