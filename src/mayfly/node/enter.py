"""A sandbox by our own system calls: namespaces, mounts, and another user.

A supervisor's child goes into it (`enter`), so that no program is started but the job's own; to try it out it is a script
too, `python -I -S enter.py <what to show> -- <command>`. As root it drops to the job's user; else it needs unprivileged
user namespaces. Only the standard library, of which nothing more can be loaded once the old root is gone. What to show, in
order:
`--link <target> <path>`, `--read <source> <path>`, `--write <source> <path>`, `--device <source> <path>`,
`--overlay <options, places below /old> <path>`, `--base <options> <path>` (over a folder of the old root),
`--empty <path>` (a folder), `--open <path>` (one that everybody may write), `--shm <bytes>`, `--user <uid>` (0: stay who we are),
`--folder <path>`.

What is made ahead of its job does not know yet what else it will show: then the first process of the sandbox stays where the
machine's files can be seen, hears of the rest later, and mounts it; the command's own process sees nothing but what was mounted.
"""

# ruff: noqa: PTH101, PTH102, PTH103, PTH112, PTH114, PTH120, PTH211
# (pathlib would cost a third of the time that this takes to start)

from __future__ import annotations

import ctypes
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_MOVE, _SLAVE, _SHARED = 8192, 1 << 19, 1 << 20
_DETACH = 2
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_KEPT_FLAGS = _NOSUID | _NODEV | _NOEXEC | 0x400 | 0x800 | 0x200000
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_OF_THE_MACHINE = ("sys", "sysrq-trigger", "irq", "bus")
"""What of /proc steers the machine."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            os.fsencode(data) if data else None,
        ),
        f"mount {target}",
    )


def pivot_root(new: str, old: str) -> None:
    check(_libc.syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()), "pivot_root")


class Root:
    """The new root, made below /new while the machine's own is seen below /old."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[bool, bool]] = {}
        """What was mounted on purpose: whether it may be written, and whether it holds devices."""
        self._stage = ""
        """Where what comes later is made whole before it is shown; '' while nobody looks yet."""

    def mount(self, kind: str, path: str, flags: int, data: str | None = None) -> None:
        """A file system of its own."""
        os.makedirs("/new" + path, 0o755, exist_ok=True)
        mount(kind, "/new" + path, kind, flags, data)
        self._made["/new" + path] = (True, True)

    def cover(self, path: str) -> None:
        """What only its owner may write is read-only even to him."""
        if os.access("/new" + path, os.W_OK):
            mount("/new" + path, "/new" + path, None, _BIND | _REC)
            narrow("/new" + path, False, False)
            self._made["/new" + path] = (False, False)

    def show(self, source: str, path: str, *, writable: bool, devices: bool = False) -> None:
        """Bind `source` of the old root to `path` of the new one."""
        source, target = "/old" + source, "/new" + path
        if self._stage:
            _refuse_links(target)
        if os.path.isdir(source):
            os.makedirs(target, 0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            if not os.path.lexists(target):
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        if not self._stage:
            mount(source, target, None, _BIND | _REC)
            narrow(target, writable, devices)
            self._made[target] = (writable, devices)
            return
        staged = f"{self._stage}/{len(self._made)}"
        if os.path.isdir(source):
            os.mkdir(staged)
        else:
            os.close(os.open(staged, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(source, staged, None, _BIND | _REC)
        narrow(staged, writable, devices)
        self._made[staged] = (writable, devices)
        self._narrow_below(staged + "/")
        mount(staged, target, None, _MOVE)

    def share(self) -> None:
        """From now on, what is shown is seen by who left with a copy of our mounts too, and that with the rights that it was
        mounted with: they do not follow it."""
        os.mkdir("/stage")
        mount("tmpfs", "/stage", "tmpfs", _NOSUID | _NODEV, "mode=0700")
        mount("none", "/new", None, _REC | _SHARED)
        self._stage = "/stage"

    def narrow_below(self) -> None:
        """What came along with the folders that were shown: a remount reaches one mount only, and /sys has many."""
        self._narrow_below("/new/")

    def _narrow_below(self, start: str) -> None:
        for place in mounts(start):
            above = os.path.dirname(place)
            while above not in self._made and above != "/":
                above = os.path.dirname(above)
            if place in self._made or above not in self._made:
                continue
            try:
                narrow(place, *self._made[above])
            except OSError:
                mount("tmpfs", place, "tmpfs", _NOSUID | _NODEV | _RDONLY)


def _refuse_links(path: str) -> None:
    """Somebody was in the new root already, and a link of theirs could lead us to the old one."""
    while path != "/":
        if os.path.islink(path):
            raise OSError(f"{path} is a link")
        path = os.path.dirname(path)


def narrow(target: str, writable: bool, devices: bool) -> None:
    flags = os.statvfs(target).f_flag & _KEPT_FLAGS
    flags |= _BIND | _REMOUNT | _NOSUID | (0 if devices else _NODEV) | (0 if writable else _RDONLY)
    mount("none", target, None, flags)


def mounts(start: str) -> list[str]:
    """The mounts below it, outermost first. Where one hides another of the same place, it is named once."""
    descriptor = os.open("/new/proc/self/mountinfo", os.O_RDONLY)
    told = b""
    while part := os.read(descriptor, 1 << 20):
        told += part
    os.close(descriptor)
    found: dict[str, None] = {}
    for line in told.splitlines():
        place = line.split(b" ")[4]
        for code in (b" ", b"\t", b"\n", b"\\"):
            place = place.replace(b"\\%03o" % code[0], code)
        if place.startswith(os.fsencode(start)):
            found[os.fsdecode(place)] = None
    return list(found)


def build(told: Sequence[Sequence[str]]) -> Root:
    """Make the new root. Runs as the first process of the new PID namespace."""
    before = os.umask(0o022)
    mount("none", "/", None, _REC | _PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=0755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    pivot_root("/tmp", "/tmp/old")
    os.chdir("/")
    mount("tmpfs", "/new", "tmpfs", _NOSUID | _NODEV, "mode=0755")
    root = Root()
    root.mount("proc", "/proc", _NOSUID | _NODEV | _NOEXEC)
    for name in _OF_THE_MACHINE:
        root.cover(f"/proc/{name}")
    root.mount("tmpfs", "/dev", _NOSUID | _NODEV, "mode=0755")
    root.mount("devpts", "/dev/pts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.mkdir("/new/dev/shm")
    for name in _DEVICES:
        root.show(f"/dev/{name}", f"/dev/{name}", writable=True, devices=True)
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ):
        os.symlink(target, f"/new/dev/{name}")
    if os.path.isdir("/old/sys"):
        root.show("/sys", "/sys", writable=False)
    for kind, *rest in told:
        _apply(root, kind, rest)
    root.narrow_below()
    os.umask(before)
    return root


def settle() -> None:
    """Go to the new root; the old one is gone for us."""
    os.chdir("/new")
    pivot_root("/new", "/new")
    check(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def part() -> None:
    """A mount namespace of our own, which hears what is mounted in the one that we came from."""
    check(_libc.unshare(_NEWNS), "unshare")
    mount("none", "/", None, _REC | _SLAVE)


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
        os.chdir("/new")
        check(_libc.umount2(b"/old", _DETACH), "umount")
        os.write(later, b"\n")
    os.close(later)


def _apply(root: Root, kind: str, rest: list[str]) -> None:
    if kind == "--link":
        os.symlink(rest[0], "/new" + rest[1])
    elif kind in ("--read", "--write", "--device"):
        root.show(rest[0], rest[1], writable=kind != "--read", devices=kind == "--device")
    elif kind == "--empty":
        os.makedirs("/new" + rest[0], 0o755, exist_ok=True)
    elif kind == "--open":
        os.makedirs("/new" + rest[0], exist_ok=True)
        os.chmod("/new" + rest[0], 0o1777)
    elif kind == "--shm":
        root.mount("tmpfs", "/dev/shm", _NOSUID | _NODEV, f"mode=1777,size={rest[0]}")
    elif kind == "--overlay":
        root.mount("overlay", rest[1], _NOSUID | _NODEV, rest[0])
    elif kind == "--base":
        mount("overlay", "/old" + rest[1], "overlay", _NOSUID | _NODEV, rest[0])


def become(uid: int, folder: str) -> None:
    """The job's user, in its folder, with no rights beyond its own and no way to more."""
    os.chdir(folder)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if uid:
        _libc.prctl(_DUMPABLE, 1, 0, 0, 0)  # else /proc/self stays root's, and the map could not be written
        check(_libc.unshare(_NEWUSER), "unshare")
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


def enter(arguments: Sequence[str], run: Callable[[], None], later: int = -1) -> int:
    """Call `run`, which becomes the command, in the sandbox; the command's exit status, 125 where there is no sandbox:
    then standard error says why. `later`: a socket on which the rest of what to show is told (`--link`, `--read`, `--write` and
    `--device`, with a zero between the words), and answered with a line once it is seen."""
    told, uid, folder = read_arguments(arguments)
    me, group = os.geteuid(), os.getegid()
    check(_libc.unshare(_NEWNS | _NEWPID | _NEWIPC | _NEWUTS | (0 if me == 0 else _NEWUSER)), "unshare")
    if me:
        map_to_itself(me, group)
    first = os.fork()
    if first:
        return wait_for(first)
    try:
        _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        root = build(told)
        if later < 0:
            settle()
        else:
            root.share()
        _libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # the job looks at nothing of this process, even as the same user
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
    at = sys.argv.index("--")
    sys.exit(enter(sys.argv[1:at], lambda: os.execve(sys.argv[at + 1], sys.argv[at + 1 :], os.environ)))
