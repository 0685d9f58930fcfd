"""An agent without a machine: it speaks to the services as the agent doors do, and reports what a test says."""

from __future__ import annotations

from dataclasses import dataclass

from mayfly.services import nodes, reports
from mayfly.services.nodes import WishBook
from mayfly.services.world import World
from mayfly.store import attempts
from mayfly.wire import agent as wire


@dataclass
class Agent:
    """The agent of one node."""

    world: World
    node: str

    def __post_init__(self) -> None:
        self.book = WishBook(self.world)

    def hello(self, *found: wire.Fence, protocols: tuple[int, ...] = wire.SUPPORTED) -> wire.Welcome:
        told = wire.Hello(
            node=self.node,
            protocols=protocols,
            version="0",
            boot_id="boot",
            address=f"{self.node}.test",
            isolation="none",
            attempts=found,
        )
        return nodes.greet(self.world, self.node, told)

    def wishes(self) -> wire.Wishes:
        nodes.heard(self.world, self.node)
        return self.book.read(self.node)

    def wish(self) -> wire.Wish:
        """The only one."""
        (found,) = self.wishes().attempts
        return found

    def report(self, *facts: wire.AnyReport) -> None:
        reports.apply(self.world, self.node, facts)


@dataclass
class Part:
    """One rank of one attempt on its agent, with the facts it can tell."""

    agent: Agent
    fence: wire.Fence
    rank: int

    def phase(self, phase: str, detail: str = "") -> wire.PhaseEntered:
        return wire.PhaseEntered(fence=self.fence, rank=self.rank, at=1, phase=phase, detail=detail)

    def ready(self) -> wire.Ready:
        return wire.Ready(fence=self.fence, rank=self.rank, at=1, address=f"10.0.0.{self.rank}", ports=(4000,))

    def started(self) -> wire.Started:
        return wire.Started(fence=self.fence, rank=self.rank, at=1, pids=(7,), isolation="none", limits=("cpu",))

    def exited(self, code: int = 0, **changes: object) -> wire.Exited:
        exits = (wire.ProcessExit(process=0, code=code),)
        return wire.Exited(**{"fence": self.fence, "rank": self.rank, "at": 1, "exits": exits, **changes})

    def unprepared(self, code: str = "EnvironmentBuildFailed") -> wire.PreparationFailed:
        return wire.PreparationFailed(fence=self.fence, rank=self.rank, at=1, code=code, message="It broke.")

    def collected(self, **changes: object) -> wire.Collected:
        return wire.Collected(**{"fence": self.fence, "rank": self.rank, "at": 1, **changes})

    def released(self) -> wire.Released:
        return wire.Released(fence=self.fence, rank=self.rank, at=1)

    def sample(self, cpu_s: float = 1.0) -> wire.Sample:
        return wire.Sample(
            fence=self.fence,
            rank=self.rank,
            at=1,
            cpu_s=cpu_s,
            memory_mib=10.0,
            memory_peak_mib=20.0,
            disk_mib=1.0,
            wall_s=2.0,
        )

    def tell(self, *facts: wire.AnyReport) -> None:
        self.agent.report(*facts)

    def prepare(self) -> None:
        self.tell(self.phase("environment"), self.phase("inputs"), self.ready())

    def finish(self, code: int = 0) -> None:
        """From a granted start to nothing left."""
        self.tell(self.started())
        self.tell(self.exited(code))
        self.tell(self.collected())
        self.tell(self.released())

    def run(self, code: int = 0) -> None:
        self.prepare()
        self.finish(code)


def parts_of(world: World, job: str, attempt: int) -> list[Part]:
    """The ranks of an attempt; the agents of their nodes greet."""
    kept = world.store.read(lambda connection: attempts.get(connection, job, attempt))
    assert kept is not None, f"{job} has no attempt {attempt}"
    fence = wire.Fence(job=job, attempt=attempt, epoch=kept.epoch)
    found = []
    for rank in world.store.read(lambda connection: attempts.ranks_of(connection, job, attempt)):
        agent = Agent(world, rank.node)
        agent.hello()
        found.append(Part(agent, fence, rank.rank))
    return found
