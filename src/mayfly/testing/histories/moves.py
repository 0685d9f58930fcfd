"""What may happen, one move at a time. A history is a list of moves; any part of it is a history too."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from mayfly.domain.compute import ResourceRequest, Target, Tier
from mayfly.domain.job import Cause

DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Move:
    """`first` and `second` choose: which node, which job, how. They count from 0 and go round."""

    kind: str
    first: int = 0
    second: int = 0

    def __str__(self) -> str:
        match self.kind:
            case "submit":
                asked = SHAPES[self.first % len(SHAPES)].request
                size = f"{asked.node_count} × {asked.instance_type}, {asked.tier.value}, {asked.target.value}"
                what = script(self.second, 0)
                return f"a job is submitted: {size}; its process writes {what.lines} lines and ends with {what.code}"
            case "talk":
                thread, how = THREADS[self.second % len(THREADS)], HOW[self.second // len(THREADS) % len(HOW)]
                return f"node {self.first} calls by its thread '{thread}': {how}"
            case "clock":
                return f"the clock jumps by {CLOCK[self.first % len(CLOCK)] // 1000} s"
            case "server dies":
                side = "after" if self.second % 2 else "before"
                return f"the server will die {side} its commit number {1 + self.first % MOST_UNITS}"
            case "round":
                return "a second without trouble"
            case "schedule" | "tend" | "watch":
                return f"the server looks: {self.kind}"
            case "walk" | "work" | "supervisor dies":
                return f"{self.kind}: attempt {self.second} on node {self.first}"
            case "agent dies":
                return f"agent dies on node {self.first}" + (", and its watchdog" if self.second % 3 == 0 else "")
            case _:
                return f"{self.kind}: {self.first}"


WEIGHTS = {
    "round": 26,
    "submit": 7,
    "cancel": 3,
    "talk": 16,
    "arrive": 5,
    "answer": 5,
    "walk": 8,
    "work": 6,
    "schedule": 3,
    "tend": 3,
    "watch": 2,
    "server dies": 3,
    "agent dies": 4,
    "supervisor dies": 2,
    "power cut": 1,
    "node vanishes": 2,
    "provider refuses": 1,
    "clock": 3,
}
"""How often each is drawn. `round` is a second without trouble: everybody does the next thing."""
HOW = ("well", "request lost", "answer lost", "request late", "answer late", "request doubled")
"""How a call goes."""
THREADS = ("listen", "report", "log")
"""Of an agent: each waits for one call at a time."""
MOST_UNITS = 4
CLOCK = (1_000, 9_000, 60_000, -3_600_000, -DAY, DAY, 130_000)


def drawn(seed: int) -> list[Move]:
    """The history of a seed, always the same."""
    random = Random(seed)
    kinds, weights = tuple(WEIGHTS), tuple(WEIGHTS.values())
    length = random.randint(12, 45)
    begin = [Move("submit", random.randrange(64), random.randrange(64)), Move("round")]
    more = random.choices(kinds, weights, k=length)
    return begin + [Move(kind, random.randrange(64), random.randrange(64)) for kind in more]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of job: what it asks for and what its processes do."""

    request: ResourceRequest
    submitter: str = "ann"
    priority: int = 2

    @property
    def retries(self) -> int:
        return 3 if self.request.tier is Tier.SPOT else 0


SHAPES = (
    Shape(ResourceRequest("local_1")),
    Shape(ResourceRequest("local_1", tier=Tier.SPOT)),
    Shape(ResourceRequest("local_1", 2)),
    Shape(ResourceRequest("local_2"), "bob"),
    Shape(ResourceRequest("local_1", 2, Tier.SPOT), "bob"),
    Shape(ResourceRequest("local_4"), priority=3),
    Shape(ResourceRequest("local_1", target=Target.LOCAL)),
    Shape(ResourceRequest("local_2", tier=Tier.SPOT), priority=1),
)


@dataclass(frozen=True, slots=True)
class Script:
    """What the process of one rank does, in every attempt."""

    lines: int
    code: int
    heeds: bool
    """Whether a stop ends it at once; else it goes on to its own end, as one does that handles the signal."""
    unprepared: bool
    """Its preparation fails."""


def script(choice: int, rank: int) -> Script:
    turn = choice + 7 * rank
    code = (0, 0, 0, 0, 1, 0, 3, 137)[turn % 8]
    return Script(lines=turn % 3, code=code, heeds=turn % 5 != 0, unprepared=turn % 16 == 15)


ASKED = Cause("CanceledByUser", "Canceled by ann.")
