"""Parts of a node that decide without a job: limits' settings, log files, variables, small durable files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from mayfly.kit.errors import Invalid
from mayfly.node import limits, plan, supervisor
from mayfly.node.disk import folder_bytes, read_json, write_json
from mayfly.node.logs import LogFile
from mayfly.node.servers import Servers
from mayfly.testing.nodes import assignment
from mayfly.transfer.removal import remove_tree
from mayfly.wire import agent as wire

LIMITS = wire.Limits(cores=2, memory_mib=100, pids=77)


def test_control_groups_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n", encoding="ascii")
    family = tmp_path / "mayfly"
    family.mkdir()
    own = tmp_path / "own"
    own.write_text("0::/somewhere\n", encoding="ascii")
    (tmp_path / "somewhere").mkdir()
    (family / "cgroup.subtree_control").write_text("", encoding="ascii")
    machine = limits.probe(tmp_path, own)
    assert machine.version == 2
    whole = limits.Machine(2, dict.fromkeys(("cpu", "memory", "pids"), family))
    group = whole.make("a", LIMITS)
    assert (family / "a" / "cpu.max").read_text(encoding="ascii") == "200000 100000"
    assert (family / "a" / "memory.max").read_text(encoding="ascii") == str(100 << 20)
    assert (family / "a" / "pids.max").read_text(encoding="ascii") == "77"
    assert group.entrances == [str(family / "a")]
    assert group.oom_file.endswith("memory.events")
    (family / "a" / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n", encoding="ascii")
    (family / "a" / "memory.current").write_text(str(3 << 20), encoding="ascii")
    assert group.use() == limits.Use(1.5, 3.0, None)


def test_control_groups_version_1(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "pids"):
        (tmp_path / name / "mayfly").mkdir(parents=True)
        (tmp_path / name / "mayfly" / "cgroup.procs").touch()
    machine = limits.probe(tmp_path)
    assert machine.version == 1 and machine.holding == ("cpu", "memory", "pids", "kill")
    group = machine.make("a", LIMITS)
    assert (tmp_path / "cpu" / "mayfly" / "a" / "cpu.cfs_quota_us").read_text(encoding="ascii") == "200000"
    assert (tmp_path / "memory" / "mayfly" / "a" / "memory.limit_in_bytes").read_text(encoding="ascii") == str(
        100 << 20
    )
    assert len(group.entrances) == 3 and group.oom_file.endswith("memory.oom_control")


def test_no_control_groups(tmp_path: Path) -> None:
    machine = limits.probe(tmp_path / "nothing")
    assert machine.holding == ()
    assert machine.make("a", LIMITS).use() == limits.Use()


def test_a_log_is_cut_visibly(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    whole = LogFile("log", path, 10)
    assert (whole.size(), whole.read(4), whole.read(10)) == (10, b"456789", b"")
    cut = LogFile("log", path, 6)
    sent = b""
    while len(sent) < cut.size():
        sent += cut.read(len(sent))
    assert sent.startswith(b"012345\n[mayfly: the log was cut here") and sent.endswith(b"]\n")
    assert LogFile("log", tmp_path / "none", 6).size() == 0


def test_commands_are_filled_in() -> None:
    job = assignment("j", "train --lr ${{inputs.lr}} --out ${{outputs.m}} $RANK ${HOME}")
    assert plan.command(job, {"lr": "0.1"}, {"m": "/m"}) == "train --lr 0.1 --out /m $RANK ${HOME}"
    with pytest.raises(Invalid, match=r"inputs\.lr"):
        plan.command(job, {}, {"m": "/m"})


@pytest.mark.parametrize(
    ("world", "rank", "name"),
    [
        (1, 0, "user_logs/std_log.txt"),
        (2, 0, "user_logs/std_log_process_00.txt"),
        (12, 11, "user_logs/std_log_process_11.txt"),
    ],
)
def test_log_names(world: int, rank: int, name: str) -> None:
    assert plan.log_name(rank, world) == name


def test_tensorflow_places_tasks_round_the_nodes() -> None:
    kind = wire.Distribution(kind="tensorflow", workers=3, parameter_servers=1)
    job = assignment("j", "x", node_count=2, distribution=kind)
    assert plan.tensorflow_tasks(job) == (
        ("worker", 0, 0, 0),
        ("worker", 1, 1, 0),
        ("worker", 2, 0, 1),
        ("ps", 0, 0, 2),
    )
    assert plan.ports_needed(job) == 4
    go = wire.Go(peers=(wire.Peer(address="a", ports=(1, 2, 3, 4)), wire.Peer(address="b", ports=(5, 6))))
    config = json.loads(plan.processes(job, go)[2].variables["TF_CONFIG"])
    assert config["cluster"] == {"worker": ["a:2", "b:6", "a:3"], "ps": ["a:4"]}
    assert config["task"] == {"type": "ps", "index": 0}


def test_durable_files_are_whole_or_not_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "b.json").write_text('{"x":', encoding="ascii")
    assert read_json(tmp_path / "b.json") is None and read_json(tmp_path / "c.json") is None


def test_trees_go_even_when_locked_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("stay", encoding="ascii")
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").write_text("go", encoding="ascii")
    (tree / "link").symlink_to(kept)
    assert folder_bytes(tree) >= 0
    os.chmod(tree / "deep", 0o500)  # noqa: PTH101
    remove_tree(tree)
    remove_tree(tree)
    assert not tree.exists() and (kept / "file").exists()


class Quiet(supervisor.Supervision):
    """Kills nothing, and counts how often it would have killed its own tree."""

    def __init__(self) -> None:
        super().__init__({"grace_s": 5.0})
        self.kills = 0

    def _kill_tree(self) -> None:
        self.kills += 1


def test_a_stop_that_finds_no_process_reaches_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop may come before the job's own process is known. What is below 0 is the whole machine."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(supervisor.os, "kill", lambda pid, number: sent.append((pid, number)))
    one = Quiet()
    one.started, one.child = True, 999_999_999
    one._stop()
    assert one.kills == 1
    assert supervisor.descendants(0) == supervisor.descendants(1) == []
    for pid in (0, 1, -1):
        supervisor._signal(pid, 15)
    assert sent == []


def test_of_a_server_that_died_it_is_known_what_it_said_and_nobody_speaks_to_it(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "a.json").write_text(json.dumps({"id": "a", "url": "http://gone", "pid": dead.pid}))
    servers = Servers(tmp_path, "node_1")
    with pytest.raises(OSError, match="no server of this state lives"):
        servers.find()
    assert servers.present()["url"] == "http://gone"
    (tmp_path / "b.json").write_text(json.dumps({"id": "b", "url": "http://here", "pid": os.getpid()}))
    assert servers.find()["url"] == servers.present()["url"] == "http://here"
