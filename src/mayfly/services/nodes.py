"""The node's door: greetings, and the wishes a node must make true."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection

from mayfly.domain.fence import holds
from mayfly.domain.life import Heard
from mayfly.domain.node import HEARTBEAT_MS, NodeState
from mayfly.domain.node import Heard as NodeHeard
from mayfly.domain.wishes import Action, wished
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid
from mayfly.services.assignments import assignment, fence_of
from mayfly.services.moves import move
from mayfly.services.wakeups import Listener
from mayfly.services.world import World
from mayfly.store import attempts, events, jobs, nodes, schema
from mayfly.store.attempts import RankRow
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Unit
from mayfly.wire import agent

_WISHED = {NodeState.DELETING: "end", NodeState.DRAINING: "drain"}
HEARTBEAT_S = HEARTBEAT_MS / 1000 / 4
_MOST_CHANGES = 1 << 30
"""Of one node's wishes while a server lives."""


def greet(world: World, node: str, hello: agent.Hello) -> agent.Welcome:
    """An agent (a new one, or one that came back) tells what it is and has. Raises Invalid `ProtocolUnsupported`."""
    spoken = set(hello.protocols) & set(agent.SUPPORTED)
    if not spoken:
        raise Invalid(
            "ProtocolUnsupported",
            f"The agent speaks versions {sorted(hello.protocols)} of the protocol; this server {agent.SUPPORTED}.",
            remedy="The node ends when its jobs have ended, and a new one takes its place.",
        )
    now = world.clock.now()

    def keep(unit: Unit) -> None:
        row = nodes.lock(unit, node)
        if row is None or row.state is NodeState.GONE:
            return
        nodes.keep_hello(unit, row.id, hello)
        if nodes.apply(unit, row, NodeHeard(), now) is not row:
            unit.passing("node greeted")
        elif row.hello is not None:
            events.append(unit, row.id, "NodeReturned", now, {"version": hello.version})

    world.store.write(keep)
    world.contacts.hear(node, now)
    world.contacts.has(node, [(one.job, one.attempt, one.epoch) for one in hello.attempts])
    return agent.Welcome(
        protocol=max(spoken), epoch=world.epoch, heartbeat_s=HEARTBEAT_S, orphan_s=world.fleet.orphan_s
    )


def heard(world: World, node: str) -> None:
    """A node called: every suspicion of its attempts ends."""
    now = world.clock.now()
    world.contacts.hear(node, now)

    def suspected(connection: Connection) -> list[tuple[str, int]]:
        found = []
        for rank in attempts.on_node(connection, node):
            row = jobs.by_id(connection, rank.job)
            if row is not None and row.job.suspected_since is not None and row.job.attempt == rank.attempt:
                found.append((rank.job, rank.attempt))
        return found

    for job, attempt in world.store.read(suspected):
        world.store.write(lambda unit, job=job, attempt=attempt: _heard(unit, job, attempt, world))


def _heard(unit: Unit, job: str, attempt: int, world: World) -> None:
    row = jobs.lock(unit, job)
    if row is not None:
        move(unit, row, Heard(attempt), world.clock.now())


_FRESH_MS = 1000
"""So long an answer may be given again that no wake-up has touched: they are hints, the rows are the truth."""


@dataclass(slots=True)
class _Page:
    lock: threading.Lock
    version: int
    changed: threading.Event
    """Set by wake-ups; cleared before the rows are read."""
    listener: Listener
    digest: bytes = b""
    wishes: agent.Wishes | None = None
    found: frozenset[tuple[str, int, int]] = frozenset()
    read_at: int = 0
    suspected: bool = False

    def stands(self, found: frozenset[tuple[str, int, int]], now: Millis) -> bool:
        fresh = 0 <= now - self.read_at < _FRESH_MS
        return fresh and found == self.found and not self.changed.is_set()


class WishBook:
    """Gives each node's wishes a version that rises whenever they change, across restarts of the server and changes of
    its clock too: an agent passes over what is older than what it knows. The rows are read when a wake-up said that they
    may have changed, and once a second."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._first = schema.rise(world.store, "wishes", int(world.clock.now()) << 10, _MOST_CHANGES)
        self._pages: dict[str, _Page] = {}

    def read(self, node: str) -> agent.Wishes:
        world = self._world
        page = self._page(node)
        with page.lock:
            found, now = world.contacts.found_on(node), world.clock.now()
            if page.wishes is not None and page.stands(found, now):
                return page.wishes
            page.changed.clear()
            wishes, page.suspected = world.store.read(lambda connection: _wishes(world, connection, node, found))
            if wishes.unknown:
                self._forget(node)
            digest = hashlib.sha256(msgspec.json.encode(wishes)).digest()
            if digest != page.digest:
                page.digest = digest
                page.version += 1
            page.found, page.read_at = found, now
            page.wishes = msgspec.structs.replace(wishes, version=page.version)
            return page.wishes

    def known(self, node: str) -> agent.Wishes | None:
        """As `read`, where nothing has to be looked for or waited for, and nothing is suspected of the node; else None."""
        page = self._page(node)
        if not page.lock.acquire(blocking=False):
            return None
        try:
            stands = page.stands(self._world.contacts.found_on(node), self._world.clock.now())
            return page.wishes if stands and not page.suspected else None
        finally:
            page.lock.release()

    def suspected(self, node: str) -> bool:
        """Whether, when the rows were last read, one of its jobs did not respond."""
        page = self._pages.get(node)
        return page is not None and page.suspected

    def _page(self, node: str) -> _Page:
        with self._lock:
            page = self._pages.get(node)
            if page is None:
                changed, listener = self._world.wakeups.on_thread([f"node:{node}", "nodes"])
                page = self._pages[node] = _Page(threading.Lock(), self._first, changed, listener)
            return page

    def _forget(self, node: str) -> None:
        with self._lock:
            page = self._pages.pop(node, None)
        if page is not None:
            page.listener.close()


def _wishes(
    world: World, connection: Connection, node: str, found: frozenset[tuple[str, int, int]]
) -> tuple[agent.Wishes, bool]:
    """And whether one of its jobs does not respond."""
    row = nodes.get(connection, node)
    if row is None or row.state is NodeState.GONE:
        return agent.Wishes(version=0, unknown=True, node="end"), False
    ranks = attempts.on_node(connection, node)
    rows = [jobs.by_id(connection, rank.job) for rank in ranks]
    told = [_wish(world, connection, row, rank) for row, rank in zip(rows, ranks, strict=True)]
    wishes = [wish for wish in told if wish is not None]
    wished = {(one.fence.job, one.fence.attempt, one.fence.epoch) for one in wishes}
    mine = {(rank.job, rank.attempt) for rank in ranks}
    for job, attempt, epoch in sorted(found - wished):
        if (job, attempt) not in mine:
            fence = agent.Fence(job=job, attempt=attempt, epoch=epoch)
            wishes.append(agent.Wish(fence=fence, action="discard"))
    # one that waits for its environment is not told yet: a node that knew nothing of it would end with it
    wanted = "keep" if None in told else _WISHED.get(row.state, "keep")
    suspected = any(row is not None and row.job.suspected_since is not None for row in rows)
    return agent.Wishes(version=0, node=wanted, attempts=tuple(wishes)), suspected


def _wish(world: World, connection: Connection, row: JobRow | None, rank: RankRow) -> agent.Wish | None:
    attempt = attempts.get(connection, rank.job, rank.attempt)
    if row is None or attempt is None:
        return None
    fence = fence_of(attempt)
    mine = holds(row.job, attempt.attempt, attempt.epoch, present=world.epoch)
    wanted = wished(row.job, rank.rank, holds=mine)
    if wanted.action is Action.DISCARD:
        return agent.Wish(fence=fence, action="discard")
    told = assignment(world, connection, row, attempt, rank)
    if told is None:
        return None
    if wanted.action is Action.PREPARE:
        return agent.Wish(fence=fence, action="prepare", assignment=told)
    return agent.Wish(fence=fence, action=wanted.action.value, assignment=told, go=attempt.go, stop_reason=wanted.why)
