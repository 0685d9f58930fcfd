"""Death at every persisted step, then life goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.node.steps import NURSERY_STEPS, STEPS, SUPERVISOR_STEPS
from mayfly.testing.agentserver import AgentServer
from mayfly.testing.nodes import Nodes, assignment, kill
from mayfly.wire import agent as wire

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("step", [step for step in STEPS if step != "stopping"])
def test_agent_killed_at(nodes: Nodes, tmp_path: Path, step: str) -> None:
    marker = tmp_path / "killed"
    node = nodes.start(MAYFLY_KILL_AT=f"node:{step}", MAYFLY_KILL_ONCE=str(marker))
    code = nodes.server.add_tree({"f": b"x"})
    nodes.server.assign(node, assignment("j", "echo once >> outputs/o; echo out; cat f; exit 3", code=code))
    collected = nodes.server.fact(wire.Collected, "j")
    nodes.server.fact(wire.Released, "j")
    nodes.server.wait(marker.exists)
    nodes.server.discard("j")
    nodes.server.wait(lambda: not list((nodes.folder(node) / "attempts").iterdir()))
    assert {exited.exits[0].code for exited in nodes.server.facts(wire.Exited, "j")} == {3}
    assert nodes.server.log("j") == "out\nx"
    assert nodes.server.output(collected)["outputs/o"] == b"once\n"


def test_agent_killed_while_stopping(nodes: Nodes, tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    node = nodes.start(MAYFLY_KILL_AT="node:stopping", MAYFLY_KILL_ONCE=str(marker))
    nodes.server.assign(node, assignment("j", "echo up; sleep 60"))
    nodes.server.wait(lambda: "up" in nodes.server.log("j"))
    nodes.server.stop_attempt("j")
    exited = nodes.server.fact(wire.Exited, "j")
    assert marker.exists()
    assert not exited.before_stop and exited.exits[0].code == 143
    nodes.server.fact(wire.Collected, "j")


@pytest.mark.parametrize("step", SUPERVISOR_STEPS)
def test_supervisor_killed_at(nodes: Nodes, tmp_path: Path, step: str) -> None:
    marker = tmp_path / "killed"
    node = nodes.start(MAYFLY_KILL_AT=f"supervisor:{step}", MAYFLY_KILL_ONCE=str(marker))
    nodes.server.assign(node, assignment("j", "echo out; exit 3"))
    exited = nodes.server.fact(wire.Exited, "j")
    assert marker.exists()
    if step in ("prepared", "recorded"):
        assert exited.exits[0].code == 3 and not exited.lost
    else:
        assert exited.exits[0].code == 137 and "supervisor" in exited.lost
    nodes.server.fact(wire.Collected, "j")
    assert not nodes.processes(node, "j")


def test_when_its_server_dies_the_node_goes_on_with_another(nodes: Nodes) -> None:
    first, other = nodes.server, AgentServer(nodes.state / "servers" / "other.json")
    first.version = 100  # versions of another server's wishes are its own
    shared = ("wishes", "homes", "reports", "logs", "blobs")
    other.__dict__.update({name: getattr(first, name) for name in shared})
    node = nodes.start()
    first.assign(node, assignment("j", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done; sleep 60"))
    first.wait(lambda: "1\n" in first.log("j"))
    other.start()
    first.stop()
    other.wait(lambda: other.hellos)
    assert [one.job for one in other.hellos[0].attempts] == ["j"]
    other.wait(lambda: "8\n" in other.log("j"))
    other.stop_attempt("j")
    assert other.fact(wire.Exited, "j").exits[0].code == 143
    other.fact(wire.Collected, "j")
    assert other.log("j") == "1\n2\n3\n4\n5\n6\n7\n8\n"
    other.stop()


@pytest.mark.parametrize("step", NURSERY_STEPS)
def test_nursery_killed_at(nodes: Nodes, tmp_path: Path, step: str) -> None:
    """Whether it had forked the supervisor or not: there is one, once."""
    marker = tmp_path / "killed"
    node = nodes.start(MAYFLY_KILL_AT=f"nursery:{step}", MAYFLY_KILL_ONCE=str(marker))
    nodes.server.assign(node, assignment("j", "echo out; exit 3"))
    exited = nodes.server.fact(wire.Exited, "j")
    assert marker.exists()
    assert exited.exits[0].code == 3 and not exited.lost
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j") == "out\n"


def test_a_nursery_that_dies_takes_no_job_with_it(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("first", "echo up; sleep 1; exit 3"))
    nodes.server.wait(lambda: "up" in nodes.server.log("first"))
    kill(nodes.nursery_pid(node))
    nodes.server.assign(node, assignment("second", "exit 4"))
    assert nodes.server.fact(wire.Exited, "second").exits[0].code == 4
    assert nodes.server.fact(wire.Exited, "first").exits[0].code == 3
