"""The agent that histories play (`testing.histories.node`) tells what a real one tells, in the same order."""

from __future__ import annotations

import pytest

from mayfly.testing.histories.moves import Script
from mayfly.testing.histories.node import Node, Told, Wishes
from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire

UNTOLD = (wire.Sample, wire.PhaseEntered)
"""Told as often as there is something to tell."""


def facts(reports: list[wire.AnyReport]) -> list[tuple[str, object]]:
    """What the server decides by."""
    found: list[tuple[str, object]] = []
    for one in reports:
        match one:
            case wire.Exited():
                found.append(("Exited", (one.exits[0].code, one.before_stop, bool(one.lost))))
            case _ if not isinstance(one, UNTOLD):
                found.append((type(one).__name__, None))
    return found


def modelled(code: int, *, stopped: bool) -> list[tuple[str, object]]:
    fence = wire.Fence(job="j", attempt=1, epoch=1)
    node = Node("n", lambda job, rank: Script(lines=1, code=code, heeds=True, unprepared=False))
    told: list[wire.AnyReport] = []

    def wish(version: int, action: str) -> None:
        node.hear(Wishes(version, attempts=(Told(fence, action, go=action == "run", alone=True),)))
        while node.walk(("j", 1)) or (not stopped and node.work(("j", 1))) or shipped():
            pass

    def shipped() -> bool:
        disk = node.disks.get(("j", 1))
        behind = disk is not None and disk.shipped < disk.process.written
        if disk is not None:
            disk.shipped = disk.process.written
        return behind

    wish(1, "prepare")
    wish(2, "run")
    if stopped:
        node.work(("j", 1))
        wish(3, "stop")
        node.work(("j", 1))
        wish(3, "stop")
    wish(4, "discard")
    assert node.agent is not None and node.disks == {}
    told += node.agent.outbox
    return facts(told)


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_that_ends_by_itself(nodes: Nodes, code: int) -> None:
    nodes.server.assign(nodes.start(), assignment("j", f"echo line; exit {code}"))
    nodes.server.fact(wire.Released, "j")
    assert facts(nodes.server.reports) == modelled(code, stopped=False)


def test_a_job_that_is_stopped(nodes: Nodes) -> None:
    nodes.server.assign(nodes.start(), assignment("j", "echo line; sleep 60"))
    nodes.server.wait(lambda: "line" in nodes.server.log("j"))
    nodes.server.fact(wire.Started, "j")
    nodes.server.stop_attempt("j")
    nodes.server.fact(wire.Released, "j")
    assert facts(nodes.server.reports) == modelled(0, stopped=True)
