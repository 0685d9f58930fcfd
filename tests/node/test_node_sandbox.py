"""What a job can see and touch, in each way of enclosing it that works on this machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mayfly.node import sandbox
from mayfly.node.uids import take, take_again
from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire

STRONG = ("namespaces", "bubblewrap")


def _start(nodes: Nodes, strategy: str, tmp_path: Path) -> str:
    order = ("namespaces", "bubblewrap", "uid", "none")
    forbidden = order[: order.index(strategy)]
    found = sandbox.probe(forbidden=forbidden, cache=tmp_path).name
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=" ".join(forbidden))
    nodes.server.wait(lambda: nodes.server.hellos)
    assert nodes.server.hellos[0].isolation == found
    return node if found == strategy else ""


@pytest.mark.parametrize("strategy", STRONG)
def test_namespaces_and_secrets(nodes: Nodes, tmp_path: Path, strategy: str) -> None:
    node = _start(nodes, strategy, tmp_path)
    if not node:
        return  # this machine gives less, and the greeting said so
    other = nodes.state / "nodes" / "secret.txt"
    other.write_text("not for jobs", encoding="utf-8")
    command = (
        f"echo begin; cat {nodes.folder(node)}/node.json {other} {nodes.state}/server.json; "
        f"ls {nodes.state} {nodes.folder(node)}/attempts; env | grep SECRET; "
        "ls /home /work 2>&1 | grep -v cannot; touch /usr/mine; id -u; echo /proc/[0-9]*; exec sleep 30"
    )
    nodes.server.assign(node, assignment("j", command))
    started = nodes.server.fact(wire.Started, "j")
    assert started.isolation == strategy
    nodes.server.wait(lambda: "/proc/1" in nodes.server.log("j"))
    for kind in ("mnt", "pid", "user", "ipc", "uts"):
        assert Path(f"/proc/{started.pids[0]}/ns/{kind}").readlink() != Path(f"/proc/self/ns/{kind}").readlink()
    log = nodes.server.log("j")
    assert "not for jobs" not in log and "secret-of" not in log and "do not tell" not in log and "http://" not in log
    assert "Read-only" in log
    assert log.count("/proc/") < 12
    if os.geteuid() == 0:
        status = Path(f"/proc/{started.pids[0]}/status").read_text(encoding="ascii")
        assert next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1] != "0"
    arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in nodes.processes(node, "j"))
    assert b"token-of-j" not in arguments


@pytest.mark.parametrize("strategy", [*STRONG, "none"])
def test_everything_works_in_it(nodes: Nodes, tmp_path: Path, strategy: str) -> None:
    node = _start(nodes, strategy, tmp_path)
    if not node:
        return
    code = nodes.server.add_tree(
        {"main.py": b"import sys; print(sys.prefix)\n", "run.sh": b"#!/bin/sh\necho ran\n"}, ("run.sh",)
    )
    data = nodes.server.add_tree({"a.txt": b"alpha\n", "deep/b.txt": b"beta\n"})
    one = nodes.server.add_tree({"only.csv": b"1,2\n"})
    command = (
        "./run.sh && python main.py && cat ${{inputs.data}}/deep/b.txt ${{inputs.one}} ${{inputs.copy}}/a.txt && "
        "echo more >> ${{inputs.copy}}/a.txt && ! sh -c 'echo x > ${{inputs.data}}/new' && "
        "echo ${{inputs.rate}} $AZUREML_PARAMETER_rate > ${{outputs.model}}/m && echo w > ${{outputs.file}} && "
        "ln -s /etc/passwd outputs/leak && echo t > $TMPDIR/t && echo h > ~/h && echo l > logs/l && rm run.sh"
    )
    nodes.server.assign(
        node,
        assignment(
            "j",
            command,
            code=code,
            literals={"rate": "0.1"},
            inputs=(
                wire.DataInput(name="data", tree=data),
                wire.DataInput(name="one", tree=one, is_file=True),
                wire.DataInput(name="copy", tree=data, mode="download"),
            ),
            outputs=(wire.NamedOutput(name="model"), wire.NamedOutput(name="file", is_file=True)),
        ),
    )
    exited = nodes.server.fact(wire.Exited, "j")
    collected = nodes.server.fact(wire.Collected, "j")
    log = nodes.server.log("j")
    if strategy == "none" and os.geteuid() == 0:
        assert "ran" in log  # root writes where it likes
    else:
        assert exited.exits[0].code == 0, log
        assert nodes.server.output(collected, "model") == {"m": b"0.1 0.1\n"}
        assert nodes.server.output(collected, "file") == {"file": b"w\n"}
        root = nodes.server.output(collected)
        assert sorted(root) == ["logs/l", "user_logs/std_log.txt"]
        assert "leak" in collected.message
    assert "ran\n" in log and "beta\n1,2\nalpha\n" in log
    assert (nodes.state / "cache" / "trees" / data / "a.txt").read_bytes() == b"alpha\n"


def test_users_are_not_shared(tmp_path: Path) -> None:
    first, held = take(tmp_path / "uids")
    second, other = take(tmp_path / "uids")
    assert first != second
    assert take_again(first, tmp_path / "uids") == -1
    os.close(held)
    third = take_again(first, tmp_path / "uids")
    assert third >= 0
    os.close(other)
    os.close(third)


def test_nothing_left_says_so(tmp_path: Path) -> None:
    assert sandbox.probe(forbidden=("bubblewrap", "namespaces", "uid"), cache=tmp_path).name == "none"
    assert sys.executable


_RIGHTS = r"""
grep -E '^(NoNewPrivs|CapPrm|CapEff|CapInh|CapAmb|Groups)' /proc/self/status | tr -d '\t '
ls /proc/$$/fd > /tmp/descriptors; echo descriptors $(cat /tmp/descriptors)
for one in environ mem maps root/ cwd/; do
    { ls /proc/1/$one/ || head -c 1 /proc/1/$one; } >/dev/null 2>&1 && echo open $one
done
for one in sys/kernel/hostname sysrq-trigger irq bus; do test -w /proc/$one && echo writable $one; done
grep -E ' /(proc/[^ ]+|dev|sys[^ ]*|usr) ' /proc/self/mountinfo | awk '{print $5, $6}' | sed 's/,relatime//'
unshare --user --map-root-user --mount mount -o remount,bind,rw /usr 2>/dev/null && echo remounted
kill -9 1 2>/dev/null; touch /mine 2>/dev/null && echo mine
touch /var/tmp/a /dev/shm/b && (exec 7<>/dev/ptmx) && umask
"""


@pytest.mark.parametrize("strategy", STRONG)
def test_every_strong_way_gives_the_same_rights(nodes: Nodes, tmp_path: Path, strategy: str) -> None:
    node = _start(nodes, strategy, tmp_path)
    if not node:
        return
    nodes.server.assign(node, assignment("j", _RIGHTS))
    nodes.server.fact(wire.Collected, "j")
    lines = [line for line in nodes.server.log("j").splitlines() if not line.startswith("/")]
    none = [f"Cap{kind}:0000000000000000" for kind in ("Inh", "Prm", "Eff", "Amb")]
    assert lines == [
        *(["Groups:"] if os.geteuid() == 0 else lines[:1]),
        *none,
        "NoNewPrivs:1",
        "descriptors 0 1 2",
        "0022",
    ]
    mounts = dict(line.split() for line in nodes.server.log("j").splitlines() if line.startswith("/"))
    assert mounts["/dev"] == "rw,nosuid,nodev" and mounts["/usr"] == "ro,nosuid,nodev"
    assert all(
        flags.startswith("ro,nosuid,nodev") for place, flags in mounts.items() if place.startswith(("/sys", "/proc/"))
    )


@pytest.mark.parametrize("strategy", ["namespaces", "uid", "none"])
def test_nothing_is_started_between_a_supervisor_and_the_shell(nodes: Nodes, tmp_path: Path, strategy: str) -> None:
    """Where no tools are needed. In namespaces one process came before the job's own."""
    node = _start(nodes, strategy, tmp_path)
    if not node:
        return
    nodes.server.assign(node, assignment("j", "echo $$; until [ -e go ]; do sleep 0.01; done"))
    nodes.server.fact(wire.Started, "j")
    (told,) = (nodes.folder(node) / "attempts").glob("j-*/process*.json")
    assert json.loads(told.read_text())["argv"][1] == "-c"
    (told.parent / "code" / "go").touch()
    nodes.server.fact(wire.Collected, "j")
    if strategy == "namespaces":
        assert nodes.server.log("j") == "2\n"
