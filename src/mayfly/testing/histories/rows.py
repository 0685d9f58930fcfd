"""A server of rows in memory: what the services do around the domain's decisions, without a database. Thousands of
histories a second are played on it; `stored` plays fewer on the services themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from mayfly.domain import life, node, quota
from mayfly.domain.compute import Amount, Fleet, LedgerKey, Placement, Quota
from mayfly.domain.fence import holds
from mayfly.domain.job import Cause, Job, JobState, Phase
from mayfly.domain.node import NodeState
from mayfly.domain.queue import ClassKey, Head, JobClass, Snapshot
from mayfly.domain.quota import Owner
from mayfly.domain.schedule import plan
from mayfly.domain.wishes import Action, wished
from mayfly.engine.fleet import GREETING_MS
from mayfly.kit.errors import Refused
from mayfly.kit.ids import GroupId, JobId, NodeId, WorkspaceId
from mayfly.ports.compute import GroupWish, NodeWish, Presence
from mayfly.services.contacts import Contacts
from mayfly.services.facts import events
from mayfly.testing.histories.moves import ASKED, Shape
from mayfly.testing.histories.node import Key, Told, Wishes
from mayfly.testing.histories.server import Mortal, Server
from mayfly.testing.providers import MemoryProvider
from mayfly.testing.world import ManualClock
from mayfly.wire import agent as wire

EPOCH = 1
OWNER = Owner("sub", "ws")
_REASON = {"quota": Phase.QUOTA, "capacity": Phase.CAPACITY, "turn": Phase.CAPACITY}


@dataclass
class Rank:
    """Where one rank of an attempt is."""

    node: str
    released: bool = False


@dataclass
class Attempt:
    placement: Placement
    ranks: list[Rank]
    live: bool = True


@dataclass
class Durable:
    """What a restart of the server finds again."""

    jobs: dict[str, Job] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    attempts: dict[Key, Attempt] = field(default_factory=dict)
    nodes: dict[str, node.Node] = field(default_factory=dict)
    quotas: dict[LedgerKey, Quota] = field(default_factory=dict)
    capacity: Amount = field(default_factory=Amount)
    logs: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    made: int = 0
    versions: int = 0


class RowServer(Server):
    def __init__(self, provider: MemoryProvider, clock: ManualClock) -> None:
        self.mortal = Mortal()
        self._provider, self._clock = provider, clock
        self._fleet: Fleet = provider.fleet()
        self._sizes = {size.name: size for size in self._fleet.own_sizes}
        self.rows = Durable()
        self.start()

    def start(self) -> None:
        now = self._clock.now()
        self.started = now
        self._contacts = Contacts(now)
        self._pages: dict[str, tuple[tuple[object, ...], int]] = {}
        self._first = self.rows.versions = max(int(now) << 10, self.rows.versions + 1000)

    # --- people ------------------------------------------------------------------------------------------------------

    def submit(self, name: str, shape: Shape) -> None:
        with self.mortal.unit():
            if name in self.rows.jobs:
                return
            now = self._clock.now()
            count = shape.request.node_count
            self.rows.jobs[name] = Job(JobId(name), count, now, now, retries_left=shape.retries)
            self.rows.shapes[name] = shape

    def cancel(self, name: str) -> None:
        with self.mortal.unit():
            job = self.rows.jobs[name]
            self._move(name, life.CancelAsked(ASKED, unreachable=job.suspected_since is not None))

    # --- the motor ---------------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        rows = self.rows
        waiting = {name: job for name, job in rows.jobs.items() if job.state is JobState.QUEUED}
        if not waiting:
            return
        made = plan(self._snapshot(waiting), self._clock.now())
        for start in made.starts:
            with self.mortal.unit():
                self._place(start.job, start.placement)
        for name, job in waiting.items():
            why = made.waits.get(self._class(name))
            if why is not None and rows.jobs[name] is job:
                self._move(name, life.Waiting(_REASON.get(why.missing or "", Phase.CAPACITY)))

    def _class(self, name: str) -> ClassKey:
        shape = self.rows.shapes[name]
        return ClassKey(WorkspaceId("ws"), "sub", shape.submitter, shape.priority, repr(shape.request))

    def _snapshot(self, waiting: dict[str, Job]) -> Snapshot:
        rows = self.rows
        order = {name: number for number, name in enumerate(rows.jobs)}
        classes: dict[ClassKey, list[str]] = {}
        for name in waiting:
            classes.setdefault(self._class(name), []).append(name)
        warm: dict[str, tuple[NodeId, ...]] = {}
        for one in rows.nodes.values():
            if one.state is NodeState.READY and one.idle_since is not None:
                warm[one.instance_type] = (*warm.get(one.instance_type, ()), one.id)
        recent: dict[str, float] = {}
        for (name, _), attempt in rows.attempts.items():
            if attempt.live:
                who = rows.shapes[name].submitter
                recent[who] = recent.get(who, 0.0) + attempt.placement.capacity.cores
        return Snapshot(
            fleet=self._fleet,
            catalogue={},
            classes=tuple(
                JobClass(
                    key,
                    rows.shapes[names[0]].request,
                    len(names),
                    tuple(Head(JobId(name), order[name], waiting[name].created_at) for name in names),
                )
                for key, names in classes.items()
            ),
            quotas=rows.quotas,
            capacity_held=rows.capacity,
            warm=warm,
            recent=recent,
        )

    def _place(self, name: str, placement: Placement) -> None:
        rows, now = self.rows, self._clock.now()
        number = rows.jobs[name].attempt + 1
        for key in placement.quota:
            limit = quota.default_limit(key, self._fleet)
            if limit is not None:
                rows.quotas.setdefault(key, Quota(limit))
        taken = quota.add(rows.quotas, placement.quota)
        after = rows.capacity.plus(placement.capacity)
        if taken is None or not after.fits(self._fleet.total):
            return
        rows.quotas, rows.capacity = taken, after
        ids = list(placement.reuse)
        for one in ids:
            rows.nodes[one] = node.step(rows.nodes[one], node.Assigned(), now)
        rows.made += 1
        group = GroupId(f"group-{rows.made}")
        for rank in range(len(ids), placement.node_count):
            fresh = NodeId(f"node-{rows.made}-{rank}")
            rows.nodes[fresh] = node.Node(fresh, group, placement.instance_type.name, now)
            ids.append(fresh)
        rows.attempts[(name, number)] = Attempt(placement, [Rank(one) for one in ids])
        self._move(name, life.Reserved(number))

    def tend(self) -> None:
        """As `engine.fleet.tend`."""
        present = self._present()
        groups: dict[GroupId, list[node.Node]] = {}
        for one in present:
            if one.state is NodeState.WISHED:
                groups.setdefault(one.group, []).append(one)
        for members in groups.values():
            self._create(members)
        now = self._clock.now()
        self._step([one.id for one in present if node.ahead(one, now)], node.ClockSetBack())
        self._step([one.id for one in self._present() if node.idle_too_long(one, now)], node.IdleTimedOut())
        present = self._present()
        self._provider.delete([one.id for one in present if self._leaves(one)])
        seen = {one.node: one.presence for one in self._provider.list([one.id for one in present])}
        for one in present:
            if seen[one.id] is Presence.DOWN:
                with suppress(Refused):
                    self._provider.create(self._group([one]))
        for one in present:
            if seen[one.id] is Presence.GONE and one.state is not NodeState.WISHED:
                self._gone(one.id, "its provider says it is gone")

    def _step(self, names: list[NodeId], event: node.NodeEvent) -> None:
        if names:
            with self.mortal.unit():
                for name in names:
                    self.rows.nodes[name] = node.step(self.rows.nodes[name], event, self._clock.now())

    def _present(self) -> list[node.Node]:
        return [one for one in self.rows.nodes.values() if one.state is not NodeState.GONE]

    def _leaves(self, one: node.Node) -> bool:
        since = max(one.state_since, self.started)
        never_came = one.state is NodeState.CREATING and self._clock.now() - since > GREETING_MS
        return one.state is NodeState.DELETING or never_came

    def _group(self, members: list[node.Node]) -> GroupWish:
        wishes = tuple(NodeWish(one.id, "token", one.instance_type, Amount(1)) for one in members)
        return GroupWish(members[0].group, wishes)

    def _create(self, members: list[node.Node]) -> None:
        try:
            self._provider.create(self._group(members))
        except Refused as error:
            names = [one.id for one in members]
            self._provider.delete(names)
            for one in self._provider.list(names):
                if one.presence is Presence.GONE:
                    self._gone(one.node, str(error))
            return
        with self.mortal.unit():
            for one in members:
                self.rows.nodes[one.id] = node.step(self.rows.nodes[one.id], node.Created(), self._clock.now())

    def _gone(self, name: str, why: str) -> None:
        rows, now = self.rows, self._clock.now()
        with self.mortal.unit():
            if rows.nodes[name].state is NodeState.GONE:
                return
            for key, rank, row in self._on(name):
                self._move(key[0], life.AttemptLost(key[1], Cause("NodeLost", f"Node was lost: {why}."), retry=True))
                self._release(key, rank, row)
            rows.nodes[name] = node.step(rows.nodes[name], node.SeenGone(why), now)
        self._contacts.forget([name])

    def watch(self) -> None:
        """As `engine.watching.watch`."""
        now = self._clock.now()
        for one in self._present():
            last = self._contacts.last(one.id, one.state_since, now)
            if node.suspected(replace(one, last_heard=last), now):
                for key, _, _ in self._on(one.id):
                    with self.mortal.unit():
                        if self.rows.jobs[key[0]].suspected_since is None:
                            self._move(key[0], life.Suspected(key[1]))

    # --- nodes -------------------------------------------------------------------------------------------------------

    def greet(self, name: str, fences: list[wire.Fence]) -> None:
        with self.mortal.unit():
            row = self.rows.nodes.get(name)
            if row is not None:
                self.rows.nodes[name] = node.step(row, node.Heard(), self._clock.now())
        self._contacts.hear(name, self._clock.now())
        self._contacts.has(name, [(one.job, one.attempt, one.epoch) for one in fences])

    def wishes(self, name: str) -> Wishes:
        self._contacts.hear(name, self._clock.now())
        for key, _, _ in self._on(name):
            job = self.rows.jobs[key[0]]
            if job.suspected_since is not None and job.attempt == key[1]:
                with self.mortal.unit():
                    self._move(key[0], life.Heard(key[1]))
        return self._read(name)

    def _read(self, name: str) -> Wishes:
        told, version = self._wishes(name), self._pages.get(name, ((), self._first))[1]
        version += told != self._pages.get(name, (None,))[0]
        self._pages[name] = (told, version)
        return Wishes(version, *told)

    def _wishes(self, name: str) -> tuple[str, tuple[Told, ...], bool]:
        row = self.rows.nodes.get(name)
        if row is None or row.state is NodeState.GONE:
            return "end", (), True
        wishes = [self._wish(key, rank) for key, rank, _ in self._on(name)]
        mine = {(one.fence.job, one.fence.attempt, one.fence.epoch) for one in wishes}
        for job, attempt, epoch in sorted(self._contacts.found_on(name) - mine):
            wishes.append(Told(wire.Fence(job=job, attempt=attempt, epoch=epoch), "discard"))
        ends = {NodeState.DELETING: "end", NodeState.DRAINING: "drain"}.get(row.state, "keep")
        return ends, tuple(wishes), False

    def _wish(self, key: Key, rank: int) -> Told:
        job = self.rows.jobs[key[0]]
        found = wished(job, rank, holds=holds(job, key[1], EPOCH, present=EPOCH))
        fence = wire.Fence(job=key[0], attempt=key[1], epoch=EPOCH)
        alone = len(self.rows.attempts[key].ranks) == 1
        return Told(fence, found.action.value, rank, found.action is Action.RUN, found.why, alone)

    def report(self, name: str, reports: tuple[wire.AnyReport, ...]) -> Wishes:
        self._contacts.hear(name, self._clock.now())
        with self.mortal.unit():
            for report in reports:
                self._apply(name, report)
        for report in reports:
            if isinstance(report, wire.Released):
                self._contacts.dropped(name, (report.fence.job, report.fence.attempt, report.fence.epoch))
        return self._read(name)

    def _apply(self, name: str, report: wire.AnyReport) -> None:
        """As `services.reports`."""
        key = report.fence.job, report.fence.attempt
        for index, row in enumerate(self.rows.attempts[key].ranks if key in self.rows.attempts else ()):
            if row.node == name and isinstance(report, wire.Released):
                self._release(key, index, row)
            elif row.node == name and index == report.rank:
                job = self.rows.jobs[key[0]]
                if not holds(job, key[1], report.fence.epoch, present=EPOCH):
                    return
                for event in events(job, report):
                    self._move(key[0], event)

    def log(self, name: str, fence: wire.Fence, rank: int, offset: int, data: bytes) -> int:
        key = (fence.job, fence.attempt, rank)
        have = self.rows.logs.get(key, b"")
        if offset <= len(have):
            have += data[len(have) - offset :]
            self.rows.logs[key] = have
        return len(have)

    # --- rows --------------------------------------------------------------------------------------------------------

    def _on(self, name: str) -> Iterator[tuple[Key, int, Rank]]:
        for key, attempt in list(self.rows.attempts.items()):
            for index, rank in enumerate(attempt.ranks):
                if attempt.live and rank.node == name and not rank.released:
                    yield key, index, rank

    def _move(self, name: str, event: life.JobEvent) -> None:
        self.rows.jobs[name] = life.step(self.rows.jobs[name], event, self._clock.now())

    def _release(self, key: Key, index: int, rank: Rank) -> None:
        """As `services.moves.Course.release`."""
        if rank.released:
            return
        rows, attempt = self.rows, self.rows.attempts[key]
        rank.released = True
        self._move(key[0], life.RankReleased(key[1], index))
        if all(one.released for one in attempt.ranks):
            attempt.live = False
            rows.quotas = quota.remove(rows.quotas, attempt.placement.quota)
            held, given = rows.capacity, attempt.placement.capacity
            rows.capacity = Amount(held.cores - given.cores, held.memory_mib - given.memory_mib)
        if not any(True for _ in self._on(rank.node)):
            rows.nodes[rank.node] = node.step(rows.nodes[rank.node], node.Freed(), self._clock.now())

    # --- what it is asked by who checks it ---------------------------------------------------------------------------

    def job(self, name: str) -> Job | None:
        return self.rows.jobs.get(name)

    def log_of(self, name: str, attempt: int, rank: int) -> bytes:
        return self.rows.logs.get((name, attempt, rank), b"")

    def nodes(self) -> dict[str, node.Node]:
        return {one.id: one for one in self._present()}

    def problems(self) -> list[str]:
        rows, found = self.rows, []
        live = [attempt for attempt in rows.attempts.values() if attempt.live]
        for key, row in rows.quotas.items():
            held = sum(attempt.placement.quota.get(key, 0) for attempt in live)
            if row.held != held or row.held > row.limit:
                found.append(f"{key.family} {key.tier} holds {row.held} of {row.limit}, its attempts {held}")
        cores = sum(attempt.placement.capacity.cores for attempt in live)
        if rows.capacity.cores != cores or cores > self._fleet.total.cores:
            found.append(f"{rows.capacity.cores} cores are held, by attempts {cores}")
        busy = [rank.node for attempt in live for rank in attempt.ranks if not rank.released]
        found += [f"{one} works for several ranks" for one in sorted(set(busy)) if busy.count(one) > 1]
        found += [f"{one} works and is gone" for one in busy if rows.nodes[one].state is NodeState.GONE]
        return found

    def holds_nothing(self) -> bool:
        return self.rows.capacity == Amount() and not any(row.held for row in self.rows.quotas.values())

    def close(self) -> None:
        """There is nothing to close."""
