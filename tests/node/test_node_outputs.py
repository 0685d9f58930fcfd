"""Outputs of a job on a node: saved while it runs, begun with, put where they belong outside."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mayfly.testing.nodes import Nodes, assignment, until
from mayfly.wire import agent as wire

_SAVING = "echo 1 > outputs/o; echo 2 > ${{outputs.m}}/w; echo 3 > ${{outputs.late}}/l; echo up; sleep 600"
_OUTPUTS = (wire.NamedOutput(name="m"), wire.NamedOutput(name="late", mode="upload"))


def _saved(nodes: Nodes, job: str) -> dict[str, dict[str, bytes]]:
    """What the newest checkpoint holds."""
    told = nodes.server.facts(wire.Checkpointed, job)
    return {one.name: nodes.server.output(told[-1], one.name) for one in told[-1].outputs} if told else {}


_WANTED = {"default": {"outputs/o": b"1\n"}, "m": {"w": b"2\n"}}


@pytest.mark.parametrize("how", ["in its time", "stop", "eviction"])
def test_what_runs_is_saved(nodes: Nodes, how: str) -> None:
    node = nodes.start(MAYFLY_CHECKPOINT_S="0.2" if how == "in its time" else "600")
    command = f"trap 'sleep 2; exit 9' TERM; {_SAVING} & wait"
    nodes.server.assign(node, assignment("j", command, outputs=_OUTPUTS))
    nodes.server.wait(lambda: "up" in nodes.server.log("j"))
    if how == "stop":
        nodes.server.stop_attempt("j")
    elif how == "eviction":
        nodes.server.fact(wire.Started, "j")
        os.kill(nodes.watchdog(node).pid, signal.SIGTERM)
    nodes.server.wait(lambda: _saved(nodes, "j") == _WANTED)
    if how == "eviction":
        nodes.watchdog(node).wait(30)
        nodes.start(node)  # the job runs on, and another agent takes it up
        until(lambda: nodes.processes(node, "j"))


@pytest.mark.fault
@pytest.mark.parametrize("step", ["checkpoint-sent", "checkpointed"])
def test_agent_killed_at(nodes: Nodes, tmp_path: Path, step: str) -> None:
    marker = tmp_path / "killed"
    node = nodes.start(MAYFLY_CHECKPOINT_S="0.2", MAYFLY_KILL_AT=f"node:{step}", MAYFLY_KILL_ONCE=str(marker))
    nodes.server.assign(node, assignment("j", _SAVING, outputs=_OUTPUTS))
    nodes.server.wait(lambda: _saved(nodes, "j") == _WANTED)
    assert marker.exists()


@pytest.mark.parametrize("step", ["", "restored"])
def test_an_attempt_begins_with_what_was_saved(nodes: Nodes, tmp_path: Path, step: str) -> None:
    server = nodes.server
    root = server.add_tree({"outputs/o": b"1\n", "logs/l": b"2\n", "user_logs/std_log.txt": b"old\n", "main.py": b"x"})
    restore = {"default": root, "m": server.add_tree({"deep/w": b"3\n"}), "f": server.add_tree({"f.txt": b"4\n"})}
    outputs = (wire.NamedOutput(name="m"), wire.NamedOutput(name="f", is_file=True, file_name="f.txt"))
    node = nodes.start(MAYFLY_KILL_AT=f"node:{step}", MAYFLY_KILL_ONCE=str(tmp_path / "killed"))
    command = (
        "cat outputs/o logs/l ${{outputs.m}}/deep/w ${{outputs.f}}; ls; echo 5 >> outputs/o; echo 6 >> ${{outputs.f}}"
    )
    server.assign(node, assignment("j", command, outputs=outputs, restore=restore))
    collected = server.fact(wire.Collected, "j")
    assert server.log("j") == "1\n2\n3\n4\nlogs\noutputs\n"
    assert server.output(collected)["outputs/o"] == b"1\n5\n"
    assert server.output(collected, "f") == {"f.txt": b"4\n6\n"}


@pytest.mark.parametrize("step", ["", "published"])
def test_outputs_that_belong_outside_are_put_there(nodes: Nodes, tmp_path: Path, step: str) -> None:
    node = nodes.start(MAYFLY_KILL_AT=f"node:{step}", MAYFLY_KILL_ONCE=str(tmp_path / "killed"))
    outputs = (wire.NamedOutput(name="a", outside=True, address="s3://b/a"), wire.NamedOutput(name="c"))
    nodes.server.assign(node, assignment("j", "echo x > ${{outputs.a}}/x; echo y > ${{outputs.c}}/y", outputs=outputs))
    collected = nodes.server.fact(wire.Collected, "j")
    told = {(one.name, one.tree) for one in nodes.server.published}
    assert told == {("a", next(one.tree for one in collected.outputs if one.name == "a"))}
    assert not collected.code


def test_an_output_that_cannot_be_put_there_is_named(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.publishing = (403, {"error": {"code": "DataForbidden", "message": "The key is wrong."}})
    outputs = (wire.NamedOutput(name="a", outside=True, address="s3://b/a"),)
    nodes.server.assign(node, assignment("j", "echo x > ${{outputs.a}}/x", outputs=outputs))
    collected = nodes.server.fact(wire.Collected, "j")
    assert collected.code == "OutputsNotCollected"
    assert "'a'" in collected.message and "s3://b/a" in collected.message and "The key is wrong." in collected.message
    assert nodes.server.output(collected, "a") == {"x": b"x\n"}
