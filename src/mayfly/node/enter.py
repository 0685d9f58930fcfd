"""A sandbox for machines without bubblewrap: namespaces and mounts by plain system calls.

Run as a script by the supervisor, `python -I -S enter.py <what to show> -- <command>`. As root it drops to the job's
user; else it needs unprivileged user namespaces. Only the standard library. What to show, in order:
`--link <target> <path>`, `--read <source> <path>`, `--write <source> <path>`, `--device <source> <path>`,
`--overlay <options, places below /old> <path>`, `--base <options> <path>` (over a folder of the old root),
`--shm <bytes>`, `--user <uid>` (0: stay who we are), `--folder <path>`.
"""

# ruff: noqa: PTH102, PTH103, PTH112, PTH120, PTH211
# (pathlib would cost a third of the time that this takes to start)

from __future__ import annotations

import ctypes
import os
import signal
import sys

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_KEPT_FLAGS = _NOSUID | _NODEV | _NOEXEC | 0x400 | 0x800 | 0x200000
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    check(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() if data else None,
        ),
        f"mount {target}",
    )


def pivot_root(new: str, old: str) -> None:
    check(_libc.syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()), "pivot_root")


def show(source: str, path: str, *, writable: bool, devices: bool = False) -> None:
    """Bind `source` of the old root to `path` of the new one."""
    source, target = "/old" + source, "/new" + path
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(source, target, None, _BIND | _REC)
    narrow(target, writable, devices)
    for below in mounts_below(target):  # a remount reaches one mount only, and /sys has many
        try:
            narrow(below, writable, devices)
        except OSError:
            mount("tmpfs", below, "tmpfs", _NOSUID | _NODEV | _RDONLY)


def narrow(target: str, writable: bool, devices: bool) -> None:
    flags = os.statvfs(target).f_flag & _KEPT_FLAGS
    flags |= _BIND | _REMOUNT | _NOSUID | (0 if devices else _NODEV) | (0 if writable else _RDONLY)
    mount("none", target, None, flags)


def mounts_below(target: str) -> list[str]:
    """The mounts that came along with a folder, outermost first. Where one hides another of the same place, it is named
    once."""
    descriptor = os.open("/new/proc/self/mountinfo", os.O_RDONLY)
    told = b""
    while part := os.read(descriptor, 1 << 20):
        told += part
    os.close(descriptor)
    start = os.fsencode(target) + b"/"
    found = []
    for line in told.splitlines():
        place = line.split(b" ")[4]
        for code in (b" ", b"\t", b"\n", b"\\"):
            place = place.replace(b"\\%03o" % code[0], code)
        if place.startswith(start) and os.fsdecode(place) not in found:
            found.append(os.fsdecode(place))
    return found


def build(told: list[list[str]]) -> None:
    """Make the new root and go there. Runs as the first process of the new PID namespace."""
    mount("none", "/", None, _REC | _PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=0755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    pivot_root("/tmp", "/tmp/old")
    os.chdir("/")
    mount("tmpfs", "/new", "tmpfs", _NOSUID | _NODEV, "mode=0755")
    os.makedirs("/new/dev/shm")
    os.mkdir("/new/proc")
    mount("proc", "/new/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    mount("tmpfs", "/new/dev", "tmpfs", _NOSUID, "mode=0755")
    os.mkdir("/new/dev/shm")
    for name in _DEVICES:
        show(f"/dev/{name}", f"/dev/{name}", writable=True, devices=True)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"/new/dev/{name}")
    if os.path.isdir("/old/sys"):
        show("/sys", "/sys", writable=False)
    for kind, *rest in told:
        _apply(kind, rest)
    os.chdir("/new")
    pivot_root("/new", "/new")
    check(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _apply(kind: str, rest: list[str]) -> None:
    if kind == "--link":
        os.symlink(rest[0], "/new" + rest[1])
    elif kind in ("--read", "--write", "--device"):
        show(rest[0], rest[1], writable=kind != "--read", devices=kind == "--device")
    elif kind == "--shm":
        mount("tmpfs", "/new/dev/shm", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={rest[0]}")
    elif kind == "--overlay":
        os.makedirs("/new" + rest[1], 0o755, exist_ok=True)
        mount("overlay", "/new" + rest[1], "overlay", _NOSUID | _NODEV, rest[0])
    elif kind == "--base":
        mount("overlay", "/old" + rest[1], "overlay", _NOSUID | _NODEV, rest[0])


def become(uid: int, folder: str, command: list[str]) -> None:
    """The job's own process: its user, its folder, its command."""
    os.chdir(folder)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if uid:
        _libc.prctl(_DUMPABLE, 1, 0, 0, 0)  # else /proc/self stays root's, and the map could not be written
        check(_libc.unshare(_NEWUSER), "unshare")
        map_to_itself(uid, uid)
    os.execve(command[0], command, os.environ)


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


def read_arguments(arguments: list[str]) -> tuple[list[list[str]], int, str, list[str]]:
    told, uid, folder = [], 0, "/"
    place = 0
    while arguments[place] != "--":
        kind = arguments[place]
        count = 1 if kind in ("--shm", "--user", "--folder") else 2
        rest = arguments[place + 1 : place + 1 + count]
        if kind == "--user":
            uid = int(rest[0])
        elif kind == "--folder":
            folder = rest[0]
        else:
            told.append([kind, *rest])
        place += 1 + count
    return told, uid, folder, arguments[place + 1 :]


def main(arguments: list[str]) -> int:
    told, uid, folder, command = read_arguments(arguments)
    me, group = os.geteuid(), os.getegid()
    check(_libc.unshare(_NEWNS | _NEWPID | _NEWIPC | _NEWUTS | (0 if me == 0 else _NEWUSER)), "unshare")
    if me:
        map_to_itself(me, group)
    first = os.fork()
    if first:
        return wait_for(first)
    try:
        _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        build(told)
        child = os.fork()
        if child == 0:
            become(uid, folder, command)
        os._exit(wait_for(child))
    except Exception as error:  # noqa: BLE001  (whatever it was must be told before the process is gone)
        os.write(2, f"The sandbox could not be made: {error!r}\n".encode())
    finally:
        os._exit(125)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
