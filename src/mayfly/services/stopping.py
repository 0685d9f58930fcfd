"""What the server is, and how it stops: which jobs go on without it, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from mayfly.domain.job import Cause, JobState
from mayfly.domain.node import DrainAsked
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Unavailable
from mayfly.kit.ids import NodeId
from mayfly.services import jobs as job_service
from mayfly.services.world import World
from mayfly.store import attempts, jobs, nodes
from mayfly.store.unit import Unit
from mayfly.wire import mayfly as wire

IDLE = Millis(30 * 60_000)
"""A server that a command started ends after this long with no unfinished job, no node and no request."""

_FAREWELL_S = 8.0
"""How long the end waits for idle agents to hear that they may go."""

_PLACED = frozenset({JobState.PROVISIONING, JobState.PREPARING, JobState.RUNNING, JobState.FINALIZING})


def view(world: World) -> wire.ServerView:
    counts, present = world.store.read(lambda connection: (jobs.counts(connection), nodes.present(connection)))
    return wire.ServerView(
        version=world.version,
        started_at=world.started_at,
        state_folder=world.state_folder,
        database=world.database,
        automatic=world.automatic,
        jobs=counts,
        nodes=len(present),
        isolation=world.isolation,
        isolation_note=world.isolation_note,
        others=[one.url for one in world.peers.others()],
    )


def idle(world: World, limit: int = IDLE) -> bool:
    """Whether a server that nobody asked for may end."""
    if world.clock.now() - world.contacts.last_request() < limit:
        return False
    return not world.store.read(jobs.unfinished) and not world.store.read(nodes.present)


class Stopping:
    """`end` is called once, when the server may go; `stop` modes wait for jobs first."""

    def __init__(self, world: World, end: Callable[[], None]) -> None:
        self._world = world
        self._end = end
        self._draining = threading.Event()
        self._finishing = threading.Event()

    def check_accepting(self) -> None:
        """Raises Unavailable `ServerStopping` once the server waits for its jobs to end."""
        if self._draining.is_set():
            raise Unavailable(
                "ServerStopping",
                "The server takes no new jobs: it stops when its jobs have ended.",
                remedy="Submit again after `mayfly up`.",
            )

    def down(self, mode: str) -> wire.DownView:
        """Answers at once; the server ends after the answer, or (drain, cancel-jobs) when its jobs have ended. Where another
        server has the same jobs, there is nothing to wait for but what was canceled."""
        if mode == "cancel-jobs":
            cause = Cause("CanceledByServer", "Canceled because the server was told to stop and cancel its jobs.")
            job_service.cancel_all(self._world, [job for job, _, _ in self._world.store.read(jobs.unfinished)], cause)
        unfinished = self._world.store.read(jobs.unfinished)
        others = self._world.peers.others()
        waits = mode == "cancel-jobs" or (mode == "drain" and not others)
        if not waits:
            self.finish_soon()
        else:
            self._draining.set()
            threading.Thread(target=self._drain, name="drain", daemon=True).start()
        continuing = [name for _job, name, state in unfinished if waits or others or state in _PLACED]
        until = _until(self._world, others[0].url if others else "") if continuing else ""
        return wire.DownView(continuing=continuing, until=until, waits=waits, taken_over=bool(others))

    def finish_soon(self) -> None:
        """As `down` of mode stop, without an answer; once."""
        if not self._finishing.is_set():
            self._finishing.set()
            threading.Thread(target=self._finish, name="finish", daemon=True).start()

    def _drain(self) -> None:
        self._wait(lambda: not self._world.store.read(jobs.unfinished), ["ended"], None)
        self._finish()

    def _finish(self) -> None:
        """End the agents that have no unfinished job, then the server. The others go on and are taken up again by the
        next. Where there is another server the nodes are its own."""
        if self._world.peers.leave():
            self._end()
            return
        leaving = self._world.store.write(self._retire)
        self._wait(lambda: not self._present(leaving), ["fleet"], _FAREWELL_S)
        self._world.provider.delete(sorted(self._present(leaving)))
        self._end()

    def _retire(self, unit: Unit) -> set[NodeId]:
        """Nodes without an unfinished job take no other; they end when nothing is left on them."""
        now, found = self._world.clock.now(), set()
        unfinished = {job for job, _name, _state in jobs.unfinished(unit.connection)}
        busy = attempts.busy_nodes(unit.connection)
        for row in nodes.present(unit.connection):
            if not any(job in unfinished for job, _attempt in busy.get(row.id, ())):
                nodes.apply(unit, row, DrainAsked(), now)
                found.add(row.id)
        return found

    def _present(self, asked: set[NodeId]) -> set[NodeId]:
        return asked & {row.id for row in self._world.store.read(nodes.present)}

    def _wait(self, done: Callable[[], bool], topics: Sequence[str], within_s: float | None) -> None:
        """Until it is done, or for that long."""
        deadline = None if within_s is None else self._world.clock.now() + within_s * 1000
        woken, listener = self._world.wakeups.on_thread(topics)
        while not done() and (deadline is None or self._world.clock.now() < deadline):
            woken.wait(2.0 if deadline is None else 0.1)
            woken.clear()
        listener.close()


def _until(world: World, other: str) -> str:
    """`other`: the URL of a server that has the same database, where there is one."""
    if other:
        return f"they end, as any other: the server at {other} has the same database"
    if world.fleet.orphan_s is None:
        return "they end: on this machine a job outlives its server for as long as it runs"
    return (
        f"they end, at the most {world.fleet.orphan_s:g} s without a server: then their nodes end, and they have failed"
    )
