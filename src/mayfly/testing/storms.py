"""Many jobs under random deaths and stops, with witnesses outside Mayfly: what it says of each must be what happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socketserver
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mayfly.testing.embedded import ENDED, HELLO, Embedded, numbered
from mayfly.testing.trials import Trial, insisting

LONGEST_STOP_S = 9.0
"""Longer than the silence after which the server suspects a node."""


class Witness(socketserver.ThreadingTCPServer):
    """Jobs tell it what they do, past Mayfly."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listener)
        self.heard: dict[int, list[str]] = defaultdict(list)
        self.order: list[str] = []
        """Every word, as they came."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]


class _Listener(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            number, _, word = line.decode().strip().partition(" ")
            assert isinstance(self.server, Witness)
            self.server.heard[int(number)].append(word)
            self.server.order.append(word)


@dataclass(slots=True)
class Storm:
    """`finish` gives what was wrong, as sentences."""

    trial: Trial
    seed: int
    jobs: int
    struck: Counter[str] = field(default_factory=Counter)
    hurt: set[str] = field(default_factory=set)
    """Names of jobs of which a supervisor or a process was killed: how those ended, only the signal knows."""
    codes: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[str]:
        chance = random.Random(self.seed)
        self.codes = [chance.choice((0, 0, 0, 1, 7, 42, 200)) for _ in range(self.jobs)]
        self.lines = [chance.randrange(1, 9) for _ in range(self.jobs)]
        with Witness() as witness:
            for number in range(self.jobs):
                self.trial.post(f"storm-{number}", self._definition(number, witness.port))
            thunder = threading.Thread(target=self._strike, args=(random.Random(self.seed + 1),), daemon=True)
            thunder.start()
            try:
                for number in range(self.jobs):
                    self.trial.until(lambda number=number: self.trial.job(f"storm-{number}")["status"] in ENDED)
            finally:
                self._over.set()
                thunder.join()
                witness.shutdown()
            self.trial.healed()
            return [wrong for number in range(self.jobs) for wrong in self._judge(number, witness.heard[number])]

    def _definition(self, number: int, port: int) -> dict[str, Any]:
        tell = f"echo {number} %s > /dev/tcp/127.0.0.1/{port}"
        loop = f"i=0; while [ $i -lt {self.lines[number]} ]; do i=$((i+1)); echo line $i; sleep 0.05; done"
        code = self.codes[number]
        inner = f"{tell % 'begin'}; {loop}; {tell % 'end'}; exit {code}"
        return {**HELLO, "command": f"exec bash -c '{inner}'"}

    # --- the deaths -------------------------------------------------------------------------------------------------

    def _strike(self, chance: random.Random) -> None:
        one = self.trial.one
        blows: list[Callable[[], tuple[str, int]]] = [
            lambda: ("server", chance.choice(one.servers() or [0])),
            lambda: ("watchdog", self._of_a_node(chance, one.watchdog)),
            lambda: ("agent", self._of_a_node(chance, one.agent)),
            lambda: ("agent", self._of_a_node(chance, one.agent)),
            lambda: ("supervisor", self._of_a_node(chance, one.supervisor)),
            lambda: ("job", self._of_a_node(chance, one.user_process)),
        ]
        while not self._over.wait(chance.uniform(0.01, 1.2)):
            who, pid = chance.choice(blows)()
            if not pid or (who in ("supervisor", "job") and chance.random() < 0.8):
                continue  # most jobs are to end by themselves
            stops = chance.random() < 0.3
            if who in ("supervisor", "job") and not stops:
                self._note_hurt(pid)
            self.struck[f"{who} {'stopped' if stops else 'killed'}"] += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if stops else signal.SIGKILL)
            if stops:
                self._over.wait(chance.uniform(0.0, LONGEST_STOP_S))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _of_a_node(self, chance: random.Random, part: Callable[[str], int]) -> int:
        nodes = self.trial.one.nodes()
        return part(chance.choice(nodes)) if nodes else 0

    def _note_hurt(self, pid: int) -> None:
        """Whose it is, its attempt's own record says: a supervisor looks like the nursery that it was forked from."""
        for told in (self.trial.one.state / "nodes").glob("*/attempts/*/pids-0.json"):
            with contextlib.suppress(OSError, ValueError):
                pids = json.loads(told.read_bytes())
                if pid in (pids["supervisor"], pids.get("inner")):
                    self.hurt.add(json.loads((told.parent / "assignment.json").read_bytes())["name"])

    # --- the judgement ----------------------------------------------------------------------------------------------

    def _judge(self, number: int, heard: list[str]) -> list[str]:
        name, code = f"storm-{number}", self.codes[number]
        job = self.trial.job(name)
        log = insisting(lambda: self.trial.one.log(name))
        told = f"{name} (exit {code}, heard {heard}, hurt {name in self.hurt}) is {job['status']} {job['error']}"
        wrong = []
        if heard.count("begin") > 1 or heard.count("end") > 1:
            wrong.append(f"{told}: it ran twice")
        if job["attempt"] != 1:
            wrong.append(f"{told}: it has {job['attempt']} attempts")
        whole = numbered(self.lines[number])
        if name in self.hurt:
            if not whole.startswith(log):
                wrong.append(f"{told}: its log is {log!r}")
            if job["status"] == "Completed" and (code or heard != ["begin", "end"]):
                wrong.append(f"{told}: it cannot have completed")
            return wrong
        if (job["status"], job["exit_codes"]) != ("Failed" if code else "Completed", [code]):
            wrong.append(f"{told}: exit codes {job['exit_codes']}")
        if heard != ["begin", "end"]:
            wrong.append(f"{told}: it was not run to its end")
        if log != whole:
            wrong.append(f"{told}: its log is {log!r}")
        return wrong


def storm(one: Embedded, seed: int, jobs: int) -> tuple[list[str], Counter[str]]:
    """What was wrong, and how often who was struck."""
    with Trial(one) as trial:
        it = Storm(trial, seed, jobs)
        begun = time.monotonic()
        wrong = it.run()
        it.struck["seconds"] = round(time.monotonic() - begun)
        it.struck["servers"] = trial.deaths
        return wrong, it.struck
