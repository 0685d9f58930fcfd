"""Jobs that mean harm, or happen to do what one that means harm would do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mayfly.node import sandbox
from mayfly.testing.nodes import Nodes, assignment, until
from mayfly.wire import agent as wire

STRONG = ("namespaces", "bubblewrap")


def _without(strategy: str) -> str:
    order = ("namespaces", "bubblewrap", "uid", "none")
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
    enclosure = sandbox.Enclosure(("tool",))
    argv, given = enclosure.around(["bash"], {"LD_PRELOAD": "x.so", "PATH": "/bin", "LDFLAGS": "-l"})
    assert given == {"MAYFLY_LATER_LD_PRELOAD": "x.so", "PATH": "/bin", "LDFLAGS": "-l"}
    assert argv[0] == "tool" and "x.so" not in " ".join(argv) and 'export LD_PRELOAD="$MAYFLY_LATER_LD' in argv[3]
    assert enclosure.around(["bash"], {"A": "b"}) == (["tool", *sandbox.LAUNCHER, "bash"], {"A": "b"})


@pytest.mark.parametrize("strategy", STRONG)
def test_nothing_of_the_system_is_writable(nodes: Nodes, strategy: str) -> None:
    """Not even what is mounted below /sys: whoever may write control groups could leave his own."""
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=_without(strategy))
    nodes.server.assign(node, assignment("j", "cat /proc/self/mountinfo"))
    nodes.server.fact(wire.Collected, "j")
    if nodes.server.fact(wire.Started, "j").isolation in STRONG:
        lines = [line.split() for line in nodes.server.log("j").splitlines()]
        assert any(line[4] == "/sys" for line in lines)
        for line in lines:
            system = line[4].startswith(("/sys", "/usr", "/etc", "/lib", "/opt"))
            assert not system or line[5].startswith("ro"), line


def test_settings_with_a_password_are_not_shown(tmp_path: Path) -> None:
    for text, hidden in (("index-url = https://ann:secret@x/simple", True), ("index-url = https://x/@simple", False)):
        settings = tmp_path / "pip.conf"
        settings.write_text(text, encoding="utf-8")
        assert sandbox.holds_password(settings) is hidden
    assert sandbox.holds_password(tmp_path / "none")


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


_MESS = """
import os, socket
os.chdir("outputs")
open("kept.txt", "w").write("kept")
os.mkfifo("pipe")
open(b"not-\\xff-unicode", "w").close()
open("back\\\\slash", "w").close()
open("new\\nline\\x1b[31m", "w").write("odd")
open("z" * 60 + "\\U0001f600" * 40, "w").write("long")
os.symlink("/etc/passwd", "out")
os.symlink(".", "round")
socket.socket(socket.AF_UNIX).bind(b"socket-\\xff")
os.chdir(os.path.join("..", "logs"))
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
open("bottom", "w").close()
"""


@pytest.mark.parametrize("strategy", ["namespaces", "none"])
def test_outputs_that_cannot_be_kept_do_not_cost_the_others(nodes: Nodes, strategy: str) -> None:
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=_without(strategy))
    code = nodes.server.add_tree({"main.py": _MESS.encode()})
    nodes.server.assign(node, assignment("j", "python main.py", code=code))
    collected = nodes.server.fact(wire.Collected, "j")
    assert nodes.server.fact(wire.Exited, "j").exits[0].code == 0, nodes.server.log("j")
    files = nodes.server.output(collected)
    assert files["outputs/kept.txt"] == b"kept" and files["outputs/new\nline\x1b[31m"] == b"odd"
    assert {name for name in files if name.startswith("outputs/")} >= {"outputs/" + "z" * 60 + "\U0001f600" * 40}
    assert collected.code == "OutputsNotCollected"
    assert collected.message.startswith("3 files could not be kept") and "back\\slash" in collected.message
    nodes.server.fact(wire.Released, "j")
    until(lambda: not [*(nodes.folder(node) / "attempts").iterdir(), *(nodes.folder(node) / "trash").glob("*")])


def test_a_fault_of_the_agent_after_the_start_is_told(nodes: Nodes) -> None:
    """Something of the node's own breaks while the job runs: the job must not stay Running for ever."""
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "touch begun; sleep 60"))
    nodes.server.fact(wire.Started, "j")
    attempt = next((nodes.folder(node) / "attempts").iterdir())
    (attempt / "stop.json").mkdir()  # as a disk would that takes no file
    (attempt / "exited.json").mkdir()
    nodes.server.stop_attempt("j")
    exited, collected = nodes.server.fact(wire.Exited, "j"), nodes.server.fact(wire.Collected, "j")
    assert exited.lost_code == collected.code == "NodeFault" and not exited.before_stop
    assert not nodes.processes(node, "j")
    nodes.server.discard("j")
    nodes.server.fact(wire.Released, "j")


@pytest.mark.parametrize("strategy", STRONG)
def test_a_job_cannot_empty_its_own_log(nodes: Nodes, strategy: str) -> None:
    """`> /dev/stderr` opens the log anew, and would empty it: it is refused aloud, and every line arrives."""
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=_without(strategy))
    command = "echo one; (echo lost > /dev/stderr) || echo refused; echo two"
    nodes.server.assign(node, assignment("j", command))
    nodes.server.fact(wire.Collected, "j")
    isolated = nodes.server.fact(wire.Started, "j").isolation in STRONG
    if isolated or os.getuid() != 0:  # nothing is refused to root
        first, complaint, *rest = nodes.server.log("j").splitlines()
        assert (first, rest) == ("one", ["refused", "two"]) and "denied" in complaint
