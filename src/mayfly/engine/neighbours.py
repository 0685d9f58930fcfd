"""Looks after the other servers of the same store: what one held that has died is free at once, not when its leases end."""

from __future__ import annotations

import threading

import structlog

from mayfly.kit.errors import MayflyError
from mayfly.services.tidings import Tidings
from mayfly.services.world import World
from mayfly.store import leases
from mayfly.store.notices import Notices
from mayfly.store.unit import Unit

LOOK_S = 0.25

log = structlog.get_logger()


class Neighbours:
    """From `start` to `stop` this server knows of the others, and they of it."""

    def __init__(self, world: World, tidings: Tidings, notices: Notices, look_s: float = LOOK_S) -> None:
        self._world, self._tidings, self._notices, self._look_s = world, tidings, notices, look_s
        self._known: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="neighbours", daemon=True)

    def start(self) -> None:
        self._notices.start()
        self._tidings.start(self._notices.tell)
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._tidings.stop()
        self._notices.close()

    def look(self) -> None:
        """Repeatable, and safe while others look too: what a dead one held is given up before it is forgotten. What it had
        still to tell was lost with it, so everybody here looks at the rows."""
        for server in self._world.peers.dead():

            def vacate(unit: Unit, server: str = server) -> None:
                leases.vacate(unit, server)

            self._world.store.write(vacate)
            self._world.peers.bury(server)
        others = {one.id for one in self._world.peers.others()}
        gone, self._known = self._known - others, others
        self._tidings.alone = not others
        if gone:
            log.info("other servers have gone: their duties are taken over", servers=sorted(gone))
            self._world.wakeups.wake_all_here()  # engine.loop.FREED among them

    def _watch(self) -> None:
        while not self._stopping.wait(self._look_s):
            try:
                self.look()
            except MayflyError as error:
                log.warning("other servers not looked after", reason=error.message)
            except Exception:
                log.exception("other servers not looked after")
