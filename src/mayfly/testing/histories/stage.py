"""A history as it is played: people, one server, its machines, and a network that loses, doubles and delays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mayfly.domain.job import Job
from mayfly.kit.ids import NodeId
from mayfly.ports.compute import Presence
from mayfly.testing.histories.moves import CLOCK, HOW, MOST_UNITS, SHAPES, THREADS, Move, Script, Shape, script
from mayfly.testing.histories.node import Agent, Node, Wishes
from mayfly.testing.histories.promises import Witness
from mayfly.testing.histories.server import Died, Server
from mayfly.testing.providers import MemoryMachines, MemoryProvider
from mayfly.testing.snapshots import machine
from mayfly.testing.world import ManualClock
from mayfly.wire import agent as wire

MOST_JOBS = 5
_MACHINE = machine(cores=4)
_ROUNDS = 90
"""How many seconds without trouble are enough for everything to end."""

ServerMaker = Callable[[MemoryProvider, ManualClock], Server]


@dataclass
class Call:
    """A question of an agent's on its way, or its answer on the way back."""

    number: int
    node: str
    thread: str
    hello: bool = False
    fences: list[wire.Fence] = field(default_factory=list)
    reports: tuple[wire.AnyReport, ...] = ()
    log: tuple[wire.Fence, int, int, bytes] | None = None
    answer: Wishes | int | None = None


class Stage:
    """`play` a history; it raises Broken where a promise did not hold. `heal` then lets everything come to its end."""

    def __init__(self, make: ServerMaker) -> None:
        self.clock = ManualClock()
        self.machines = MemoryMachines()
        self.provider = MemoryProvider(_MACHINE, self.machines)
        self.server = make(self.provider, self.clock)
        self.up = True
        self.start = 1
        """Counts the server's starts: a connection does not outlive one."""
        self.nodes: dict[str, Node] = {}
        self.names: list[str] = []
        self.witness = Witness(self.server)
        self._choices: dict[str, int] = {}
        self._requests: list[Call] = []
        self._answers: list[Call] = []
        self._calls = 0

    def play(self, moves: Sequence[Move]) -> None:
        for move in moves:
            self.make(move)
        self.heal()

    def make(self, move: Move) -> None:
        """One move. Where there is nothing for it to move, it changes nothing."""
        _MOVES[move.kind](self, move.first, move.second)
        self._machines()
        self.witness.look(self.names)

    # --- people ------------------------------------------------------------------------------------------------------

    def submit(self, first: int, second: int) -> None:
        if len(self.names) >= MOST_JOBS or not self.up:
            return
        name = f"job-{len(self.names)}"
        self._choices[name] = second

        def ask(shape: Shape = SHAPES[first % len(SHAPES)]) -> None:
            self.server.submit(name, shape)
            self.witness.accepted(name)

        self._ask(ask)
        if self.server.job(name) is not None:
            self.names.append(name)

    def cancel(self, first: int, second: int) -> None:
        if not self.names or not self.up:
            return
        name = self.names[first % len(self.names)]
        before = self.server.job(name)

        def ask() -> None:
            self.server.cancel(name)
            self.witness.canceled(name, before)

        self.witness.asked_to_cancel(name)
        self._ask(ask)

    def scripts(self, job: str, rank: int) -> Script:
        return script(self._choices[job], rank)

    # --- the server --------------------------------------------------------------------------------------------------

    def _ask(self, what: Callable[[], object]) -> bool:
        """Whether it answered."""
        if not self.up:
            return False
        try:
            what()
        except Died:
            self.up = False
            self.server.mortal.lives()
            return False
        return True

    def schedule(self, first: int, second: int) -> None:
        self._ask(self.server.schedule)

    def tend(self, first: int, second: int) -> None:
        self._ask(self.server.tend)

    def watch(self, first: int, second: int) -> None:
        self._ask(self.server.watch)

    def server_dies(self, first: int, second: int) -> None:
        self.server.mortal.will_die(first % MOST_UNITS, after=bool(second % 2))

    def server_starts(self) -> None:
        if not self.up:
            self.up, self.start = True, self.start + 1
            self.server.mortal.lives()
            self.server.start()

    def refuses(self, first: int, second: int) -> None:
        self.provider.refuses = "" if self.provider.refuses else "sold out"
        self.witness.troubled = True

    # --- machines ----------------------------------------------------------------------------------------------------

    def _machines(self) -> None:
        """What the provider did becomes true: new machines boot, deleted ones are gone with all they had."""
        for name in self.machines.created:
            if name not in self.nodes:
                self.nodes[name] = Node(name, self.scripts)
        for name, node in self.nodes.items():
            presence = self.machines.present.get(NodeId(name))
            if presence is None and not node.ended:
                node.power_cut()
                node.disks.clear()
                node.ended = True
            elif node.ended and presence is Presence.READY:
                self.machines.present.pop(NodeId(name), None)

    def _node(self, which: int) -> Node | None:
        there = [node for node in self.nodes.values() if not node.ended]
        return there[which % len(there)] if there else None

    def vanishes(self, first: int, second: int) -> None:
        if (node := self._node(first)) is not None:
            self.provider.vanish(node.name)
            self.witness.lost_node(node)

    def power_cut(self, first: int, second: int) -> None:
        if (node := self._node(first)) is not None:
            self.witness.lost_processes(node)
            node.power_cut()
            self.provider.go_down(node.name)

    def agent_dies(self, first: int, second: int) -> None:
        if (node := self._node(first)) is not None:
            node.agent_dies()
            if second % 3 == 0:  # its watchdog too: the job's process goes on by itself
                self.provider.go_down(node.name)

    def supervisor_dies(self, first: int, second: int) -> None:
        node = self._node(first)
        if node is not None and node.disks:
            key = sorted(node.disks)[second % len(node.disks)]
            self.witness.lost_processes(node)
            node.supervisor_dies(key)

    def agent_starts(self, node: Node) -> None:
        """By its watchdog."""
        if self.machines.present.get(NodeId(node.name)) is Presence.READY:
            node.agent_starts()

    def walk(self, first: int, second: int) -> None:
        node = self._node(first)
        if node is not None and node.agent is not None and node.agent.walks:
            node.walk(sorted(node.agent.walks)[second % len(node.agent.walks)])

    def work(self, first: int, second: int) -> None:
        node = self._node(first)
        if node is not None and node.disks:
            node.work(sorted(node.disks)[second % len(node.disks)])

    # --- the network -------------------------------------------------------------------------------------------------

    def talk(self, first: int, second: int) -> None:
        node = self._node(first)
        if node is not None and node.agent is not None:
            self._call(node, node.agent, THREADS[second % len(THREADS)], HOW[second // len(THREADS) % len(HOW)])

    def _call(self, node: Node, agent: Agent, thread: str, how: str = "well") -> None:
        """A thread of an agent calls, where it has something to say and does not wait for an answer already."""
        if thread in agent.calls:
            return
        call = self._question(node, agent, thread)
        if call is None:
            return
        agent.calls[thread] = call.number
        if how == "request lost" or agent.server.setdefault(thread, self.start) != self.start:
            self._fails(node, thread)
            return
        if how == "request late":
            self._requests.append(call)
            self._fails(node, thread)
            return
        if how == "request doubled":
            self._requests.append(call)
        if not self._ask(lambda: self._serve(call)) or how == "answer lost":
            self._fails(node, thread)
        elif how == "answer late":
            self._answers.append(call)
        else:
            self._returns(call)

    def _question(self, node: Node, agent: Agent, thread: str) -> Call | None:
        self._calls += 1
        call = Call(self._calls, node.name, thread)
        if thread == "listen":
            call.hello = not agent.greeted
            call.fences = [walk.disk.fence for walk in agent.walks.values()]
            return call
        if thread == "report":
            call.reports = tuple(agent.outbox[:100])
            return call if call.reports else None
        for walk in agent.walks.values():
            disk = walk.disk
            if disk.shipped < disk.process.written and not walk.discard:
                call.log = (
                    disk.fence,
                    disk.rank,
                    len(disk.log()) - len(disk.log(disk.shipped)),
                    disk.log(disk.shipped),
                )
                return call
        return None

    def _serve(self, call: Call) -> None:
        if call.hello:
            self.server.greet(call.node, call.fences)
            call.answer = None
        elif call.thread == "listen":
            call.answer = self.server.wishes(call.node)
        elif call.thread == "report":
            call.answer = self.server.report(call.node, call.reports)
        elif call.log is not None:
            fence, rank, offset, data = call.log
            call.answer = self.server.log(call.node, fence, rank, offset, data)

    def _fails(self, node: Node, thread: str) -> None:
        """The call ended in nothing: it is tried again on a new connection; the listener greets anew."""
        agent = node.agent
        if agent is not None:
            agent.calls.pop(thread, None)
            agent.server.pop(thread, None)
            if thread == "listen":
                agent.greeted = False

    def _returns(self, call: Call) -> None:
        node = self.nodes[call.node]
        agent = node.agent
        if agent is None or agent.calls.get(call.thread) != call.number:
            return  # nobody waits for it any more
        del agent.calls[call.thread]
        if call.hello:
            agent.greeted, agent.version = True, -1
        elif isinstance(call.answer, Wishes):
            if call.thread == "report":
                del agent.outbox[: len(call.reports)]
            node.hear(call.answer)
        elif call.log is not None and isinstance(call.answer, int):
            walk = agent.walks.get((call.log[0].job, call.log[0].attempt))
            if walk is not None:
                disk = walk.disk
                disk.shipped = next(
                    n for n in range(disk.process.written + 1) if len(disk.log()) - len(disk.log(n)) >= call.answer
                )

    def arrives(self, first: int, second: int) -> None:
        """A request that its caller has given up, or its double, comes in after all."""
        if self._requests:
            call = self._requests.pop(first % len(self._requests))
            self._ask(lambda: self._serve(call))

    def answers(self, first: int, second: int) -> None:
        if self._answers:
            self._returns(self._answers.pop(first % len(self._answers)))

    def sets_clock(self, first: int, second: int) -> None:
        self.clock.advance(CLOCK[first % len(CLOCK)])
        self.witness.troubled = True

    # --- without trouble ---------------------------------------------------------------------------------------------

    def round(self, first: int = 0, second: int = 0) -> None:
        """A second in which nothing goes wrong."""
        self.clock.advance(1000)
        self.server_starts()
        for duty in (self.server.schedule, self.server.tend, self.server.watch):
            self._ask(duty)
        self._machines()
        for node in list(self.nodes.values()):
            if node.ended:
                continue
            self.agent_starts(node)
            if node.agent is not None:  # an answer to reports brings the wishes as well
                told = bool(node.agent.outbox) and node.agent.greeted and "report" not in node.agent.calls
                for thread in ("report", "log") if told else ("listen", "log"):
                    if node.agent is not None:
                        self._call(node, node.agent, thread)
            for key in list(node.disks):
                for _ in range(3):
                    node.walk(key)
                node.work(key)

    def heal(self) -> None:
        """No more trouble: then everything finishes, nothing is held and no node is left."""
        self.server.mortal.lives()
        self.provider.refuses = ""
        while self._answers:
            self.answers(0, 0)
        for node in self.nodes.values():
            if node.agent is not None:
                node.agent.calls.clear()
        for number in range(_ROUNDS):
            self.round()
            while self._requests and number > 3:
                self.arrives(0, 0)
            self.witness.look(self.names)
            if self._finished() and not self._requests:
                break
        self.witness.ended(self.names, self.nodes)
        for _ in range(8):
            self.clock.advance(130_000)
            self.round()
            self.round()
            self.witness.look(self.names)
            if not self.server.nodes():
                break
        self.witness.empty(self.server.nodes(), self.nodes, self.machines)

    def _finished(self) -> bool:
        jobs: list[Job | None] = [self.server.job(name) for name in self.names]
        over = all(job is not None and job.state.terminal for job in jobs)
        return over and self.server.holds_nothing() and not any(node.disks for node in self.nodes.values())


_MOVES: dict[str, Callable[[Stage, int, int], None]] = {
    "round": Stage.round,
    "submit": Stage.submit,
    "cancel": Stage.cancel,
    "talk": Stage.talk,
    "arrive": Stage.arrives,
    "answer": Stage.answers,
    "walk": Stage.walk,
    "work": Stage.work,
    "schedule": Stage.schedule,
    "tend": Stage.tend,
    "watch": Stage.watch,
    "server dies": Stage.server_dies,
    "agent dies": Stage.agent_dies,
    "supervisor dies": Stage.supervisor_dies,
    "power cut": Stage.power_cut,
    "node vanishes": Stage.vanishes,
    "provider refuses": Stage.refuses,
    "clock": Stage.sets_clock,
}
