"""How jobs end: by themselves, by a signal, by a stop, by their time, by the death of those around them."""

from __future__ import annotations

import os
import signal

import pytest

from mayfly.testing.nodes import Nodes, assignment, children, kill, until
from mayfly.wire import agent as wire


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("no_such_program_here", 127)]
)
def test_exit_status(nodes: Nodes, command: str, code: int) -> None:
    nodes.server.assign(nodes.start(), assignment("j", command))
    exited = nodes.server.fact(wire.Exited, "j")
    assert exited.exits == (wire.ProcessExit(process=0, code=code),)
    assert exited.before_stop and not exited.timed_out and not exited.lost
    assert nodes.server.fact(wire.Collected, "j").code == ""


def test_stop_ends_children_that_ignore_it_and_those_that_left(nodes: Nodes) -> None:
    command = (
        "trap 'echo asked' TERM; "
        "python -c \"import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(99)\" & "
        "setsid sh -c 'sleep 98 & sleep 97' & "
        "echo up; while true; do sleep 0.1; done"
    )
    node = nodes.start(MAYFLY_GRACE_S="0.5")
    nodes.server.assign(node, assignment("j", command))
    nodes.server.wait(lambda: "up" in nodes.server.log("j") and "deaf" in nodes.server.log("j"))
    before = nodes.processes(node, "j")
    assert len(before) >= 4
    nodes.server.stop_attempt("j")
    exited = nodes.server.fact(wire.Exited, "j")
    assert not exited.before_stop
    assert exited.exits[0].code == 137
    assert "asked" in nodes.server.log("j")
    assert not nodes.processes(node, "j")
    nodes.server.fact(wire.Collected, "j")


def test_a_stop_after_the_end_does_not_revise_it(nodes: Nodes) -> None:
    nodes.server.assign(nodes.start(), assignment("j", "echo done"))
    nodes.server.fact(wire.Collected, "j")
    nodes.server.stop_attempt("j")
    nodes.server.discard("j")
    nodes.server.fact(wire.Released, "j")
    assert all(exited.before_stop for exited in nodes.server.facts(wire.Exited, "j"))


def test_time_is_up(nodes: Nodes) -> None:
    limits = wire.Limits(cores=1, memory_mib=512, timeout_s=0.4)
    nodes.server.assign(nodes.start(), assignment("j", "echo begun; sleep 60", limits=limits))
    exited = nodes.server.fact(wire.Exited, "j")
    assert exited.timed_out
    assert exited.exits[0].code == 143
    assert nodes.server.log("j") == "begun\n"


def test_too_much_memory_is_told(nodes: Nodes) -> None:
    limits = wire.Limits(cores=1, memory_mib=48)
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "python -c 'x = bytearray(200 << 20); print(len(x))'", limits=limits))
    exited = nodes.server.fact(wire.Exited, "j")
    if "memory" in nodes.server.hellos[0].limits:
        assert exited.exits[0].code == 137 and exited.exits[0].oom
    else:
        assert exited.exits[0].code == 0


@pytest.mark.fault
def test_killed_agent_is_restarted_and_takes_its_job_up_again(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "for i in $(seq 30); do echo line $i; sleep 0.05; done; exit 5"))
    nodes.server.wait(lambda: "line 3" in nodes.server.log("j"))
    agent = nodes.agent_pid(node)
    os.kill(agent, signal.SIGKILL)
    exited = nodes.server.fact(wire.Exited, "j")
    assert exited.exits[0].code == 5 and not exited.lost
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j") == "".join(f"line {i}\n" for i in range(1, 31))
    assert nodes.agent_pid(node) != agent
    assert nodes.server.hellos[-1].attempts[0].job == "j"


def waiting_sandbox(nodes: Nodes, command: str) -> str:
    """The node of a job whose sandbox stands and waits for its grant."""
    nodes.server.granting = False
    node = nodes.start()
    nodes.server.assign(node, assignment("j", command))
    nodes.server.fact(wire.Ready, "j")
    until(lambda: nodes.processes(node, "j"))
    return node


def test_a_stop_before_the_grant_leaves_nothing_of_a_sandbox_that_waited(nodes: Nodes) -> None:
    node = waiting_sandbox(nodes, "echo ran; touch outputs/ran")
    nodes.server.stop_attempt("j")
    assert nodes.server.fact(wire.Exited, "j").exits[0].code == 137
    collected = nodes.server.fact(wire.Collected, "j")
    assert collected.logs == {} and nodes.server.output(collected) == {}
    until(lambda: not nodes.processes(node, "j"))


@pytest.mark.fault
def test_a_sandbox_that_waits_ends_with_its_agent_and_another_is_made(nodes: Nodes) -> None:
    node = waiting_sandbox(nodes, "echo ran; exit 6")
    before = set(nodes.processes(node, "j"))
    kill(nodes.agent_pid(node))
    until(lambda: not before & set(nodes.processes(node, "j")))
    nodes.server.wait(lambda: len(nodes.server.facts(wire.Ready, "j")) == 2)
    assert nodes.server.log("j") == ""
    nodes.server.granting = True
    kill(nodes.agent_pid(node))
    assert nodes.server.fact(wire.Exited, "j").exits[0].code == 6
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j") == "ran\n"


@pytest.mark.fault
def test_killed_supervisor_takes_the_job_with_it_and_that_is_told(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "echo up; setsid sleep 98 & sleep 99"))
    nodes.server.fact(wire.Started, "j")
    nodes.server.wait(lambda: "up" in nodes.server.log("j"))
    os.kill(children(nodes.nursery_pid(node))[0], signal.SIGKILL)
    exited = nodes.server.fact(wire.Exited, "j")
    assert exited.exits[0].code == 137
    assert "supervisor" in exited.lost
    until(lambda: not nodes.processes(node, "j"))
    assert nodes.server.fact(wire.Collected, "j").logs == {"user_logs/std_log.txt": 3}


@pytest.mark.fault
def test_server_away_and_back_elsewhere(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "for i in $(seq 20); do echo line $i; sleep 0.05; done"))
    nodes.server.wait(lambda: "line 2" in nodes.server.log("j"))
    nodes.server.stop()
    record = nodes.folder(node) / "attempts" / "j-1" / "exited.json"
    until(record.exists)
    nodes.server.start()
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j") == "".join(f"line {i}\n" for i in range(1, 21))
    nodes.server.wait(lambda: len(nodes.server.hellos) == 2)


@pytest.mark.fault
def test_server_agent_and_all_die_together(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "for i in $(seq 20); do echo line $i; sleep 0.05; done; exit 9"))
    nodes.server.wait(lambda: "line 2" in nodes.server.log("j"))
    nodes.server.stop()
    os.kill(nodes.agent_pid(node), signal.SIGKILL)
    nodes.server.start()
    assert nodes.server.fact(wire.Exited, "j").exits[0].code == 9
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j") == "".join(f"line {i}\n" for i in range(1, 21))


@pytest.mark.fault
def test_orphan_limit_ends_all_even_with_a_stopped_agent(nodes: Nodes) -> None:
    nodes.server.orphan_s = 1.5
    node = nodes.start(orphan_s=1.5)
    nodes.server.assign(node, assignment("j", "echo up; sleep 99"))
    nodes.server.wait(lambda: "up" in nodes.server.log("j"))
    agent = nodes.agent_pid(node)
    nodes.server.stop()
    os.kill(agent, signal.SIGSTOP)
    assert nodes.watchdog(node).wait(20) == 0
    until(lambda: nodes.is_free(node))
    assert not nodes.processes(node, "j")


def test_unknown_to_the_server_it_ends_everything(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "echo up; sleep 99"))
    nodes.server.wait(lambda: "up" in nodes.server.log("j"))
    nodes.server.unknown = True
    nodes.server.wish_node("keep")
    assert nodes.watchdog(node).wait(15) == 0
    assert nodes.is_free(node) and not nodes.processes(node, "j")
    assert not list((nodes.folder(node) / "attempts").iterdir())
