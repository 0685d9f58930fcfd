"""Resolve wanted environments, one at a time each, several beside each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from mayfly.kit.errors import Unavailable
from mayfly.services.environments import ResolveLog, resolve
from mayfly.services.world import World
from mayfly.store import environments
from mayfly.store.environments import EnvironmentRow

log = structlog.get_logger()


class Resolving:
    """Single flight for each definition. The lease of the duty keeps it single across servers."""

    def __init__(self, world: World, beside: int = 2) -> None:
        self._world = world
        self._pool = ThreadPoolExecutor(beside, thread_name_prefix="resolve")
        self._lock = threading.Lock()
        self._flying: set[str] = set()
        self._cancelled = threading.Event()

    def work(self) -> float | None:
        for row in self._world.store.read(environments.wanted):
            with self._lock:
                if row.digest in self._flying:
                    continue
                self._flying.add(row.digest)
            self._pool.submit(self._resolve, row)
        return None

    def close(self) -> None:
        """End what resolves now; it is wanted still, and the next server takes it up."""
        self._cancelled.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def flying(self) -> frozenset[str]:
        """What is being resolved now."""
        with self._lock:
            return frozenset(self._flying)

    def _resolve(self, row: EnvironmentRow) -> None:
        try:
            resolve(self._world, row, ResolveLog(self._world, row.digest).say, self._cancelled)
        except Unavailable as error:
            log.info("environment not resolved yet", digest=row.digest, code=error.code)
        except Exception:
            log.exception("environment not resolved", digest=row.digest)
        finally:
            with self._lock:
                self._flying.discard(row.digest)
