"""Clients that call a real server at once, and a motor that lets its jobs go on meanwhile."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx

from mayfly.api.app import build
from mayfly.domain.job import RankState
from mayfly.services import stopping
from mayfly.services.stopping import Stopping
from mayfly.services.world import World
from mayfly.store import attempts, jobs
from mayfly.store.unit import Store
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.calls import Call, story
from mayfly.testing.databases import Databases, in_memory
from mayfly.testing.serving import WS, House, Serving
from mayfly.testing.world import Scene, scene, tracking

CLIENTS = 4
_EACH = 14
"""Calls about one name, over all clients, before the next name."""


class Motor(threading.Thread):
    """Places jobs and plays their nodes, until it is told to end."""

    def __init__(self, stage: Scene, seed: int) -> None:
        super().__init__(name="motor")
        self._stage, self._random = stage, random.Random(seed)
        self._parts: dict[tuple[str, int], list[Part]] = {}
        self.ending = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.ending.wait(0.002):
                self._turn()
        except BaseException as error:  # noqa: BLE001 - told to who joins
            self.failure = error

    def _turn(self) -> None:
        self._stage.turn()
        world = self._stage.world
        for attempt in world.store.read(attempts.live):
            key = attempt.job, attempt.attempt
            if key not in self._parts:
                self._parts[key] = parts_of(world, *key)
            for part in self._parts[key]:
                if self._random.random() < 0.5:
                    self._go_on(part)

    def _go_on(self, part: Part) -> None:
        wish = next((one for one in part.agent.wishes().attempts if one.fence == part.fence), None)
        row = self._stage.world.store.read(lambda connection: jobs.by_id(connection, part.fence.job))
        if wish is None or row is None:
            return
        if wish.action == "discard":
            part.tell(part.released())
            return
        state = row.job.ranks[part.rank].state if row.job.ranks else RankState.RELEASED
        if state is RankState.EXITED:
            part.tell(part.collected())
        elif wish.action == "stop":
            part.tell(part.exited(143, before_stop=False))
        elif wish.action == "run" and state is RankState.STARTED:
            part.tell(part.exited(self._random.choice((0, 0, 1))))
        elif wish.action == "run":
            part.tell(part.started())
        elif state is RankState.ASSIGNED:
            part.tell(part.phase("environment"))
        else:
            part.tell(part.ready())


class Callers:
    """`call` for a while; `stories` then tells what no order of the calls explains."""

    def __init__(self, houses: Sequence[House], seed: int) -> None:
        """Each of `houses` is asked by some of the clients."""
        self._houses, self._seed = houses, seed
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._lock = threading.Lock()
        self._began = time.monotonic()

    @property
    def count(self) -> int:
        return sum(len(calls) for calls in self._calls.values())

    def call(self, seconds: float) -> None:
        """Raises what a client does not understand."""
        with ThreadPoolExecutor(CLIENTS) as threads:
            for client in [threads.submit(self._client, number, seconds) for number in range(CLIENTS)]:
                client.result()

    def stories(self) -> list[str]:
        found = (story(name, calls) for name, calls in self._calls.items())
        return [one for one in found if one is not None]

    def _client(self, number: int, seconds: float) -> None:
        draw = random.Random(self._seed * CLIENTS + number)
        house = self._houses[number % len(self._houses)]
        with house.client(subject=f"person-{number}") as client:
            while time.monotonic() - self._began < seconds:
                self._one(house, client, draw, number, self._name())

    def _name(self) -> str:
        """The one that all call about now."""
        with self._lock:
            return f"job-{sum(len(calls) >= _EACH for calls in self._calls.values())}"

    def _one(self, house: House, client: httpx.Client, draw: random.Random, number: int, name: str) -> None:
        kind = draw.choices(("put", "get", "list", "cancel", "retry"), (4, 5, 2, 2, 1))[0]
        letter = draw.choices("ab", (3, 1))[0]
        begin = time.monotonic() - self._began
        path = f"{WS}/jobs"
        match kind:
            case "put":
                answer = client.post(path, json=house.body(name=name, command=f"echo {letter}"))
            case "get":
                answer = client.get(f"{path}/{name}")
            case "list":
                answer = client.get(path, params={"limit": 1000})
            case "cancel":
                answer = client.post(f"{path}/{name}/cancel", json={"reason": ""})
            case _:
                answer = client.post(f"{path}/{name}/retry")
        end = time.monotonic() - self._began
        calls = _understood(number, kind, letter, begin, end, name, answer)
        with self._lock:
            self._calls[name] += calls


def _understood(
    number: int, kind: str, letter: str, begin: float, end: float, name: str, answer: httpx.Response
) -> list[Call]:
    """A put and a cancel are answered with a look at the job, taken after what they changed: that is a call too."""
    assert answer.status_code in (200, 201, 404, 409), answer.text
    told = answer.json()
    if kind == "list":
        state = next((one["status"] for one in told["jobs"] if one["name"] == name), None)
        return [Call(number, "get", begin, end, 404 if state is None else 200, state=state or "")]
    if kind == "get":
        return [Call(number, "get", begin, end, answer.status_code, state=told.get("status", ""))]
    calls = [Call(number, kind, begin, end, answer.status_code, letter if kind == "put" else "")]
    if kind in ("put", "cancel") and answer.status_code in (200, 201):
        calls.append(Call(number, "get", begin, end, 200, state=told["status"]))
    return calls


def called(seed: int, seconds: float, house: str = "sqlite") -> tuple[int, list[str]]:
    """How many calls were made of a server of its own, or of two that share a database, and what no order of them
    explains."""
    with tempfile.TemporaryDirectory(prefix="mayfly-calls-", dir=in_memory()) as folder, ExitStack() as stack:
        databases = Databases(Path(folder))
        stack.callback(databases.close)
        stage = scene(Path(folder), databases.fresh("sqlite" if house == "sqlite" else "postgresql", Path(folder)))
        worlds = [stage.world]
        if house == "two servers":
            worlds.append(
                replace(stage.world, store=Store(stage.world.database, stage.world.wakeups.wake), workspaces={})
            )
        doors = [_serve(world, stack) for world in worlds]
        motor = Motor(stage, seed)
        motor.start()
        try:
            callers = Callers([House(stage, url) for url in doors], seed)
            callers.call(seconds)
        finally:
            motor.ending.set()
            motor.join()
        if motor.failure is not None:
            raise motor.failure
        return callers.count, callers.stories()


def _serve(world: World, stack: ExitStack) -> str:
    door, pages, _ = tracking(world)
    serving = Serving(build(world, door, pages, lambda: stopping.view(world), Stopping(world, lambda: None)))
    stack.callback(world.store.close)
    stack.callback(serving.close)
    return serving.url
