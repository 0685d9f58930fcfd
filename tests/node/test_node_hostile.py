"""Jobs that mean harm, or happen to do what one that means harm would do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mayfly.node import sandbox
from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire

STRONG = ("bubblewrap", "namespaces")


def _without(strategy: str) -> str:
    order = ("bubblewrap", "namespaces", "uid", "none")
    return " ".join(order[: order.index(strategy)])


@pytest.mark.parametrize("strategy", STRONG)
def test_loader_variables_begin_inside(nodes: Nodes, tmp_path: Path, strategy: str) -> None:
    """The tools that make the sandbox must not load what a job names: they have the agent's rights."""
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=_without(strategy))
    place = Path(f"/tmp/mayfly-loaded-{os.getpid()}-{tmp_path.name}")  # the job's own /tmp, but for who is outside
    outside = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(place), "MAYFLY_PROCESS": "me"}
    nodes.server.assign(node, assignment("j", 'echo "it is $LD_DEBUG"; env | grep -c LATER', variables=outside))
    nodes.server.fact(wire.Exited, "j")
    assert "it is files\n0\n" in nodes.server.log("j")
    if nodes.server.fact(wire.Started, "j").isolation in STRONG:
        assert not list(place.parent.glob(place.name + "*"))


def test_what_is_held_for_the_loader() -> None:
    enclosure = sandbox.Enclosure(("tool", *sandbox.LAUNCHER))
    argv, given = enclosure.around(["bash"], {"LD_PRELOAD": "x.so", "PATH": "/bin", "LDFLAGS": "-l"})
    assert given == {"MAYFLY_LATER_LD_PRELOAD": "x.so", "PATH": "/bin", "LDFLAGS": "-l"}
    assert argv[0] == "tool" and "x.so" not in " ".join(argv) and 'export LD_PRELOAD="$MAYFLY_LATER_LD' in argv[3]
    assert enclosure.around(["bash"], {"A": "b"}) == (["tool", *sandbox.LAUNCHER, "bash"], {"A": "b"})


def test_a_timeout_of_months(nodes: Nodes) -> None:
    node = nodes.start()
    limits = wire.Limits(cores=1, memory_mib=512, timeout_s=float(1 << 31))
    nodes.server.assign(node, assignment("j", "sleep 0.2; exit 3", limits=limits))
    exited = nodes.server.fact(wire.Exited, "j")
    assert [one.code for one in exited.exits] == [3] and not exited.lost


def test_a_sandbox_that_cannot_be_made_has_a_code(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "true #" + "x" * 200_000))
    exited = nodes.server.fact(wire.Exited, "j")
    assert exited.lost_code == "SandboxFailed" and "never ran" in exited.lost
