"""A sandbox by our own system calls: namespaces, mounts, and another user.

A supervisor's child goes into it (`enter`), so that no program is started but the job's own; to try it out it is a script
too, `python -I -S enter.py <what all show> -- <what to show> -- <command>`. As root it drops to the job's user; else it needs
unprivileged user namespaces. Only the standard library, of which nothing more can be loaded once the old root is gone. What to
show besides what all sandboxes show alike (`ground.py`), in order:
`--link <target> <path>`, `--read <source> <path>`, `--write <source> <path>`, `--device <source> <path>`,
`--overlay <options, places below /old> <path>`, `--base <options> <path>` (over a folder of the old root),
`--empty <path>` (a folder), `--open <path>` (one that everybody may write), `--shm <bytes>`, `--user <uid>` (0: stay who we are),
`--folder <path>`.

What is made ahead of its job does not know yet what else it will show: then the first process of the sandbox stays where the
machine's files can be seen, hears of the rest later, and mounts it; the command's own process sees nothing but what was mounted.
"""

# ruff: noqa: PTH101, PTH103, PTH120, PTH211
# (pathlib would cost a third of the time that this takes to start)

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":  # started with nothing but the standard library in reach
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from mayfly.node import ground as grounds
from mayfly.node.roots import (
    NEWIPC,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    NODEV,
    NOEXEC,
    NOSUID,
    OLD,
    PRIVATE,
    REC,
    SLAVE,
    Root,
    check,
    libc,
    mount,
    pivot_root,
    unmount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_PLACE = "/new"
_OF_THE_MACHINE = ("sys", "sysrq-trigger", "irq", "bus")
"""What of /proc steers the machine."""


def build(told: Sequence[Sequence[str]]) -> Root:
    """Make the new root on what was laid. Runs as the first process of the new PID namespace."""
    before = os.umask(0o022)
    root = grounds.planted(_PLACE)
    root.mount("proc", "/proc", NOSUID | NODEV | NOEXEC)
    for name in _OF_THE_MACHINE:
        root.cover(f"/proc/{name}")
    root.mount("devpts", "/dev/pts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    for kind, *rest in told:
        _apply(root, kind, rest)
    root.narrow_below()
    mount("none", _PLACE, None, REC | PRIVATE)
    os.umask(before)
    return root


def settle() -> None:
    """Go to the new root; the old one is gone for us."""
    os.chdir(_PLACE)
    pivot_root(".", ".")
    unmount(".")
    os.chdir("/")


def part() -> None:
    """A mount namespace of our own, which hears what is mounted in the one that we came from."""
    check(libc.unshare(NEWNS), "unshare")
    mount("none", "/", None, REC | SLAVE)


def add(root: Root, later: int) -> None:
    """Show what we are told on `later`, up to its end, and answer; then the old root is gone for us too."""
    heard = b""
    while part := os.read(later, 1 << 16):
        heard += part
    if heard:
        told, _, _ = read_arguments([os.fsdecode(one) for one in heard.split(b"\0")])
        before = os.umask(0o022)
        for kind, *rest in told:
            _apply(root, kind, rest)
        os.umask(before)
        os.chdir(_PLACE)
        unmount(OLD)
        os.write(later, b"\n")
    os.close(later)


def _apply(root: Root, kind: str, rest: list[str]) -> None:
    if kind == "--link":
        os.symlink(rest[0], _PLACE + rest[1])
    elif kind in ("--read", "--write", "--device"):
        root.show(rest[0], rest[1], writable=kind != "--read", devices=kind == "--device")
    elif kind == "--empty":
        os.makedirs(_PLACE + rest[0], 0o755, exist_ok=True)
    elif kind == "--open":
        os.makedirs(_PLACE + rest[0], exist_ok=True)
        os.chmod(_PLACE + rest[0], 0o1777)
    elif kind == "--shm":
        root.mount("tmpfs", "/dev/shm", NOSUID | NODEV, f"mode=1777,size={rest[0]}")
    elif kind == "--overlay":
        root.mount("overlay", rest[1], NOSUID | NODEV, rest[0])
    elif kind == "--base":
        mount("overlay", OLD + rest[1], "overlay", NOSUID | NODEV, rest[0])


def become(uid: int, folder: str) -> None:
    """The job's user, in its folder, with no rights beyond its own and no way to more."""
    os.chdir(folder)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    check(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if uid:
        libc.prctl(_DUMPABLE, 1, 0, 0, 0)  # else /proc/self stays root's, and the map could not be written
        check(libc.unshare(NEWUSER), "unshare")
        map_to_itself(uid, uid)


def map_to_itself(uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        # not `open`: it would look for a codec in a standard library that may be out of sight by now
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


def wait_for(child: int) -> int:
    """Reap everything until `child` ends; its exit status as a shell has it."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def read_arguments(arguments: Sequence[str]) -> tuple[list[list[str]], int, str]:
    told: list[list[str]] = []
    uid, folder = 0, "/"
    place = 0
    while place < len(arguments):
        kind = arguments[place]
        count = 1 if kind in ("--empty", "--open", "--shm", "--user", "--folder") else 2
        rest = list(arguments[place + 1 : place + 1 + count])
        if kind == "--user":
            uid = int(rest[0])
        elif kind == "--folder":
            folder = rest[0]
        else:
            told.append([kind, *rest])
        place += 1 + count
    return told, uid, folder


def enter(
    common: Sequence[str], arguments: Sequence[str], run: Callable[[], None], laid: int = -1, later: int = -1
) -> int:
    """Call `run`, which becomes the command, in the sandbox; the command's exit status, 125 where there is no sandbox:
    then standard error says why. `common`: what all sandboxes show; `laid`: a descriptor of where just that was laid.
    `later`: a socket on which the rest of what to show is told (`--link`, `--read`, `--write` and `--device`, with a zero between
    the words), and answered with a line once it is seen."""
    told, uid, folder = read_arguments(arguments)
    me, group = os.geteuid(), os.getegid()
    stands = laid >= 0 and grounds.enter(laid)
    if laid >= 0:
        os.close(laid)
    check(libc.unshare(NEWNS | NEWPID | NEWIPC | NEWUTS | (0 if me == 0 else NEWUSER)), "unshare")
    if me:
        map_to_itself(me, group)
    first = os.fork()
    if first:
        return wait_for(first)
    try:
        libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if not stands:
            grounds.lay(common)
        root = build(told)
        if later < 0:
            settle()
        else:
            root.share()
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # the job looks at nothing of this process, even as the same user
        child = os.fork()
        if child == 0:
            if later >= 0:
                os.close(later)
                part()
                settle()
            become(uid, folder)
            run()
        if later >= 0:
            add(root, later)
        os._exit(wait_for(child))
    except Exception as error:  # noqa: BLE001  (whatever it was must be told before the process is gone)
        os.write(2, f"The sandbox could not be made: {error!r}\n".encode())
    finally:
        os._exit(125)


if __name__ == "__main__":
    first = sys.argv.index("--")
    second = sys.argv.index("--", first + 1)
    words = sys.argv[second + 1 :]
    sys.exit(enter(sys.argv[1:first], sys.argv[first + 1 : second], lambda: os.execve(words[0], words, os.environ)))
