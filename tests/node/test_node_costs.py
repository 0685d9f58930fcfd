"""How often a node calls its server for a small job, in counts: a fifth more is the most."""

from __future__ import annotations

from collections import Counter

from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire


def test_how_often_a_node_calls_for_a_job_until_it_is_released(nodes: Nodes) -> None:
    node, server = nodes.start(), nodes.server
    server.wait(lambda: server.hellos)
    server.calls.clear()
    server.assign(node, assignment("j", "echo out"))
    server.fact(wire.Released, "j")
    calls = Counter({door: count for door, count in server.calls.items() if door != "/wishes"})
    assert calls["/reports"] <= 4  # 2 and a sample, where nothing is starved
    assert sum(calls.values()) <= 6, calls  # and the log, and its bytes with the list of files
