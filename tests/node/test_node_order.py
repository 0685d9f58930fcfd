"""In which order an agent does and tells things, and what it passes over."""

from __future__ import annotations

import pytest

from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire
from mayfly.wire.agent import Wish

pytestmark = pytest.mark.fault


def test_the_end_is_told_after_the_whole_log_has_arrived(nodes: Nodes) -> None:
    nodes.server.closed.add("/logs")
    nodes.server.assign(nodes.start(), assignment("j", "echo out"))
    nodes.server.fact(wire.Exited, "j")
    nodes.server.closed.clear()
    assert nodes.server.fact(wire.Collected, "j").logs == {"user_logs/std_log.txt": 4}
    assert nodes.server.log("j") == "out\n"


def test_an_older_wish_is_passed_over(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "echo up; sleep 60"))
    nodes.server.fact(wire.Started, "j")
    with nodes.server.changed:
        known, asked = nodes.server.wishes["j", 1, 0], nodes.server.asked
        nodes.server.version -= 1
        nodes.server.wishes["j", 1, 0] = Wish(fence=known.fence, action="discard")
    nodes.server.wait(lambda: nodes.server.asked >= asked + 2)
    assert nodes.processes(node, "j") and not nodes.server.facts(wire.Released, "j")
    with nodes.server.changed:
        nodes.server.version += 1
        nodes.server.wishes["j", 1, 0] = known
    nodes.server.stop_attempt("j")
    nodes.server.fact(wire.Collected, "j")


def test_what_was_discarded_is_not_begun_again(nodes: Nodes) -> None:
    node, same = nodes.start(), assignment("j", "echo once")
    nodes.server.assign(node, same)
    nodes.server.fact(wire.Collected, "j")
    nodes.server.discard("j")
    nodes.server.fact(wire.Released, "j")
    nodes.server.assign(node, same)  # as an answer says that was long on its way
    nodes.server.assign(node, assignment("k", "echo other"))
    nodes.server.fact(wire.Collected, "k")
    assert len(nodes.server.facts(wire.Ready, "j")) == 1
