"""A node without a machine: its disk, its agent, and one supervised process for each attempt.

The agent walks as `node.attempt` does: what a step found out is on the disk before it is reported, reports are sent in
order until they are acknowledged, and an agent that comes back walks the same way over the same disk. Whoever may die
does so between any two of these steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mayfly.testing.histories.moves import Script
from mayfly.wire import agent as wire

Key = tuple[str, int]
"""(job, attempt)."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the server wishes of one attempt here (`wire.agent.Wish`)."""

    fence: wire.Fence
    action: str
    rank: int = 0
    go: bool = False
    why: str = ""
    alone: bool = False
    """The only rank of its attempt."""


@dataclass(frozen=True, slots=True)
class Wishes:
    version: int
    node: str = "keep"
    attempts: tuple[Told, ...] = ()
    unknown: bool = False


@dataclass
class Process:
    """A job's process with its supervisor."""

    begun: bool = False
    written: int = 0
    """Lines, each with its number."""
    stopped: bool = False
    """Its supervisor was told to end it."""
    ended_at: int | None = None
    code: int = 0
    recorded: bool = False
    """Its exit record is on the disk; else nobody knows how it ended."""

    @property
    def runs(self) -> bool:
        return self.begun and self.ended_at is None


@dataclass
class Disk:
    """What is there of an attempt whoever dies."""

    fence: wire.Fence
    rank: int
    script: Script
    alone: bool = False
    records: dict[str, Any] = field(default_factory=dict)
    process: Process = field(default_factory=Process)
    shipped: int = 0
    """Lines that the server has acknowledged."""

    @property
    def key(self) -> Key:
        return self.fence.job, self.fence.attempt

    def log(self, first: int = 0) -> bytes:
        return b"".join(b"line %d\n" % number for number in range(first, self.process.written))


@dataclass
class Walk:
    """An agent's own memory of one attempt."""

    disk: Disk
    go: bool = False
    stop: str = ""
    discard: bool = False
    told: set[str] = field(default_factory=set)
    stuck: bool = False
    """Its preparation has failed: it waits to be discarded."""
    left: bool = False
    """Its last words are on their way, that it holds nothing among them."""


@dataclass
class Agent:
    """What is gone when its process dies."""

    version: int = -1
    greeted: bool = False
    wish: str = "keep"
    walks: dict[Key, Walk] = field(default_factory=dict)
    over: set[wire.Fence] = field(default_factory=set)
    """Attempts that were discarded here: none of them is begun again, whatever an old answer says."""
    outbox: list[wire.AnyReport] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    """The number of the call that each of its threads waits for."""
    server: dict[str, int] = field(default_factory=dict)
    """Which start of the server each thread is connected to."""


class Node:
    def __init__(self, name: str, scripts: Any) -> None:
        self.name = name
        self.disks: dict[Key, Disk] = {}
        self.agent: Agent | None = Agent()
        self.ended = False
        self.ticks = 0
        """Its own clock, which nobody sets."""
        self._scripts = scripts
        self.starts: list[tuple[str, int, int]] = []
        """(job, attempt, rank) of each process that was begun."""
        self.ends: dict[tuple[Key, int], tuple[int, bytes]] = {}
        """(attempt, rank) → exit code and log of each process that ended by itself, whatever became of its node."""

    # --- who dies, and who comes back --------------------------------------------------------------------------------

    def agent_dies(self) -> None:
        self.agent = None

    def agent_starts(self) -> None:
        if self.agent is not None or self.ended:
            return
        self.agent = Agent()
        for key, disk in sorted(self.disks.items()):
            self.agent.walks[key] = Walk(disk, go="go" in disk.records)

    def supervisor_dies(self, key: Key) -> None:
        process = self.disks[key].process
        if process.runs:
            self._end(process, 137, recorded=False)

    def power_cut(self) -> None:
        self.agent = None
        for disk in self.disks.values():
            if disk.process.runs:
                self._end(disk.process, 137, recorded=False)

    # --- what the server wishes --------------------------------------------------------------------------------------

    def hear(self, wishes: Wishes) -> None:
        """As `node.agent.Agent._hear`."""
        agent = self.agent
        assert agent is not None
        if wishes.unknown:
            agent.wish = "end"
            for walk in agent.walks.values():
                walk.discard = True
        elif wishes.version >= agent.version:
            agent.version, agent.wish = wishes.version, wishes.node
            for one in wishes.attempts:
                self._wish(agent, one)
        self._maybe_end()

    def _wish(self, agent: Agent, told: Told) -> None:
        key = told.fence.job, told.fence.attempt
        walk = agent.walks.get(key)
        if walk is None:
            if told.action == "discard":
                agent.outbox.append(wire.Released(fence=told.fence, rank=0, at=0))
                return
            if told.fence in agent.over:
                return
            disk = self.disks[key] = Disk(told.fence, told.rank, self._scripts(told.fence.job, told.rank), told.alone)
            walk = agent.walks[key] = Walk(disk)
        if told.action == "run" and told.go:
            walk.go = True
        if told.action == "stop" and not walk.stop:
            walk.stop = told.why or "stop"
        if told.action == "discard":
            walk.discard = True

    def _maybe_end(self) -> None:
        agent = self.agent
        if agent is not None and agent.wish in ("end", "drain") and not agent.walks and not agent.outbox:
            self.ended, self.agent = True, None

    # --- one step of an attempt --------------------------------------------------------------------------------------

    def walk(self, key: Key) -> bool:
        """One persisted step or one report; whether there was one to do."""
        agent = self.agent
        if agent is None or key not in agent.walks:
            return False
        self.ticks += 1
        walk = agent.walks[key]
        arrived = walk.left and not any(one.fence == walk.disk.fence for one in agent.outbox)
        return self._discard(agent, walk) if walk.discard or arrived else self._go_on(agent, walk)

    def _go_on(self, agent: Agent, walk: Walk) -> bool:
        disk, records = walk.disk, walk.disk.records
        if walk.stuck:
            return False
        for record in ("assignment", "materialised", "ready"):
            if record not in records:
                if record == "materialised" and (disk.script.unprepared or "phase" not in walk.told):
                    return self._materialise(agent, walk)
                records[record] = True
                return True
        if "ready" not in walk.told:
            if "exited" not in records:
                self._tell(agent, walk, "ready", wire.Ready, address="10.0.0.1", ports=(1,))
            walk.told.add("ready")
            return True
        if "go" in records or not ("stop" in records and "launch" not in records):
            waiting = self._run(agent, walk)
            if waiting is not None:
                return waiting
        return self._settle(agent, walk)

    def _materialise(self, agent: Agent, walk: Walk) -> bool:
        if "phase" not in walk.told:
            self._tell(agent, walk, "phase", wire.PhaseEntered, phase="environment")
            self._tell(agent, walk, "phase", wire.PhaseEntered, phase="inputs")
            return True
        self._tell(agent, walk, "unprepared", wire.PreparationFailed, code="InputMissing", message="It is not there.")
        walk.stuck = True
        return True

    def _run(self, agent: Agent, walk: Walk) -> bool | None:
        """From the granted start to the end of the process; None when there is nothing more to run."""
        records, process = walk.disk.records, walk.disk.process
        if "go" not in records:
            if walk.go and not walk.stop:
                records["go"] = True
                return True
            if walk.stop:
                records["stop"] = self.ticks
                return None
            return False
        if "launch" not in records:
            records["launch"] = True
            return True
        if not process.begun and "stop" not in records:
            process.begun = True
            self.starts.append((*walk.disk.key, walk.disk.rank))
            return True
        if process.begun and "started" not in walk.told:
            self._tell(agent, walk, "started", wire.Started, pids=(7,), isolation="none", limits=())
            return True
        if walk.stop and "stop passed" not in walk.told:
            records.setdefault("stop", self.ticks)
            process.stopped = True
            walk.told.add("stop passed")
            return True
        return False if process.runs else None

    def _settle(self, agent: Agent, walk: Walk) -> bool:
        disk, records = walk.disk, walk.disk.records
        if "exited" not in records:
            records["exited"] = self._exit_facts(disk)
            return True
        if "exited" not in walk.told:
            self._tell(agent, walk, "exited", wire.Exited, **records["exited"])
            return True
        if disk.shipped < disk.process.written:
            return False
        if "collected" not in records:
            records["collected"] = disk.shipped
            return True
        if "collected" not in walk.told:
            self._tell(agent, walk, "collected", wire.Collected)
            if disk.alone:
                walk.left = True
                self._tell(agent, walk, "released", wire.Released)
            return True
        return False

    def _exit_facts(self, disk: Disk) -> dict[str, Any]:
        process, stop = disk.process, disk.records.get("stop")
        if "go" not in disk.records:
            return {"exits": (wire.ProcessExit(process=0, code=137),), "before_stop": False}
        if not process.recorded:
            why = "its supervisor was killed" if process.begun else "its supervisor did not begin"
            exits = (wire.ProcessExit(process=0, code=137),)
            return {"exits": exits, "before_stop": stop is None, "lost": f"Process 0 left no exit record: {why}."}
        before = stop is None or (process.ended_at is not None and process.ended_at < stop)
        return {"exits": (wire.ProcessExit(process=0, code=process.code),), "before_stop": before}

    def _discard(self, agent: Agent, walk: Walk) -> bool:
        disk = walk.disk
        if disk.process.runs:
            self._end(disk.process, 137, recorded=False)
        if "discarding" not in walk.told:
            walk.told.add("discarding")
            return True
        self.disks.pop(disk.key, None)
        if not walk.left:
            self._tell(agent, walk, "released", wire.Released)
        agent.over.add(disk.fence)
        del agent.walks[disk.key]
        self._maybe_end()
        return True

    def _tell(self, agent: Agent, walk: Walk, what: str, kind: Any, **facts: Any) -> None:
        walk.told.add(what)
        agent.outbox.append(kind(fence=walk.disk.fence, rank=walk.disk.rank, at=0, **facts))

    # --- the process -------------------------------------------------------------------------------------------------

    def work(self, key: Key) -> bool:
        """The process writes a line, or ends; whether it runs at all."""
        disk = self.disks.get(key)
        if disk is None or not disk.process.runs:
            return False
        self.ticks += 1
        process, does = disk.process, disk.script
        if process.stopped and does.heeds:
            self._end(process, 143, recorded=True)
        elif process.written < does.lines:
            process.written += 1
        else:
            self._end(process, does.code, recorded=True)
        if not process.runs:
            self.ends[(key, disk.rank)] = (process.code, disk.log())
        return True

    def _end(self, process: Process, code: int, *, recorded: bool) -> None:
        self.ticks += 1
        process.ended_at, process.code, process.recorded = self.ticks, code, recorded
