"""Sandboxes that begin with what was laid ahead are the same as those that lay it themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mayfly.node import enter, limits, sandbox
from mayfly.node.ground import Ground
from mayfly.wire.agent import Limits

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root lays it ahead")
USER = 60123


@pytest.fixture
def ground() -> Iterator[Ground]:
    one = Ground()
    yield one
    one.clear()


@pytest.fixture
def place() -> Iterator[Path]:
    """Another user must reach it."""
    with tempfile.TemporaryDirectory(prefix="mayfly-ground-") as name:
        root = Path(name)
        root.chmod(0o755)
        yield root


def enclosed(place: Path, name: str) -> sandbox.Enclosure:
    root = place / name
    for folder in (root, root / "home", root / "tmp"):
        folder.mkdir(mode=0o755)
        os.chown(folder, USER, USER)
    sandbox.write_etc(root / "etc", USER, USER, "me", root / "home")
    room = sandbox.Room(root, (root / "home",), (), root / "tmp", root / "etc", root / "home", uid=USER)
    return sandbox.Strategy("namespaces", True, True).enclose(room)


def said(words: tuple[str, ...], entered: tuple[str, ...], command: str, laid: int = -1) -> str:
    """What a shell says in that sandbox."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(into, 1)
            os.dup2(into, 2)
            os.closerange(3, laid)
            os.closerange(max(laid, 2) + 1, 4096)
            os._exit(enter.enter(words, entered, lambda: os.execve("/bin/sh", ["sh", "-c", command], os.environ), laid))
        finally:
            os._exit(125)
    os.close(into)
    with open(out, encoding="utf-8") as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, text
    return text


def test_a_sandbox_is_the_same_whoever_laid_its_ground(ground: Ground, place: Path) -> None:
    shown = enclosed(place, "job")
    ground.tend(shown.ground)
    assert ground.holds(shown.ground)
    look = (
        "awk '{print $5, $6, $4}' /proc/self/mountinfo | sort; for d in / /etc /dev /dev/pts /dev/shm /var; do "
        "ls -lnA $d | awk '{print $1, $3, $4, $9, $10, $11}'; done; cat /etc/passwd; hostname; id; "
        "grep -E '^(Cap|NoNew|Groups)' /proc/self/status; ls /proc/self/fd; echo $$"
    )
    own = said(shown.ground, shown.entered, look)
    assert said(shown.ground, shown.entered, look, ground.descriptor) == own
    assert " /usr " in f" {own} ".replace("\n", " ") and "uid=60123(me)" in own


def test_two_sandboxes_on_one_ground_see_nothing_of_each_other(ground: Ground, place: Path) -> None:
    one, other = enclosed(place, "one"), enclosed(place, "other")
    ground.tend(one.ground)
    leave = "for d in /tmp /var/tmp /dev/shm /dev /etc / /dev/pts; do echo mine > $d/trace-$$ 2>/dev/null; done; ls / /etc | wc -l"
    before = said(one.ground, one.entered, leave, ground.descriptor)
    find = "find / -xdev -name 'trace-*' 2>/dev/null; find /dev /tmp /var -name 'trace-*'; cat /etc/passwd; ls / /etc | wc -l"
    after = said(other.ground, other.entered, find, ground.descriptor)
    assert "trace-" not in after and after.splitlines()[-1] == before.splitlines()[-1]
    assert f"{place}/other/home" in after and f"{place}/one/home" not in after


def test_what_changed_on_the_machine_is_noticed(ground: Ground, place: Path) -> None:
    shown = enclosed(place, "job")
    resolver = place / "resolver"
    resolver.write_text("old\n", encoding="utf-8")
    words = (*shown.ground, "--read", str(resolver), "/etc/resolver")
    ground.tend(words)
    assert ground.holds(words) and not ground.holds(shown.ground)
    assert said(words, shown.entered, "cat /etc/resolver", ground.descriptor) == "old\n"
    new = place / "new"
    new.write_text("new\n", encoding="utf-8")
    new.rename(resolver)
    assert not ground.holds(words)
    ground.tend(words)
    assert ground.holds(words)
    assert said(words, shown.entered, "cat /etc/resolver", ground.descriptor) == "new\n"
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=True)
    try:
        assert not ground.holds(words)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_nothing_to_lay_is_no_ground(ground: Ground) -> None:
    ground.tend(())
    assert ground.descriptor == -1
    ground.tend(("--read", "/nonexistent", "/nonexistent"))
    assert not ground.holds(("--read", "/nonexistent", "/nonexistent"))


_CHILD = """
import os, sys
from mayfly.node.joining import fork_into, join
pid, joined = fork_into(sys.argv[1:])
if pid == 0:
    try:
        if not joined:
            join(sys.argv[1:])
        with open("/proc/self/cgroup", encoding="ascii") as told:
            os.write(1, f"{joined} {told.read()}".encode())
    finally:
        os._exit(0)
assert os.waitpid(pid, 0) == (pid, 0)
"""


def joined(folders: list[str]) -> str:
    """Whether a child was born in these groups, and which it is in; of a parent that has one thread."""
    told = subprocess.run(
        [sys.executable, "-c", _CHILD, *folders], capture_output=True, text=True, check=True, timeout=60
    )
    return told.stdout


def test_a_process_joins_the_groups_of_its_job() -> None:
    machine = limits.probe()
    if not machine.roots:
        pytest.skip("no control groups can be made here")
    group = machine.make(f"test-joining-{os.getpid()}", Limits(cores=1, memory_mib=512))
    assert joined(group.entrances).count(f"/test-joining-{os.getpid()}\n") >= len(group.entrances)
    group.remove()
    assert not any(folder.exists() for folder in group.folders.values())


def test_a_process_may_be_born_in_its_group() -> None:
    """Version 2, which some machines have beside version 1."""
    roots = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    root = next((one for one in roots if (one / "cgroup.controllers").exists()), None)
    if root is None:
        pytest.skip("no control groups of version 2 here")
    folder = root / f"mayfly-test-born-{os.getpid()}"
    folder.mkdir()
    try:
        told = joined([str(folder)])
        assert told.startswith("True ") and f"/{folder.name}" in told
    finally:
        folder.rmdir()
