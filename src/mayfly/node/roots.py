"""A root of our own making, by our own system calls: what of the machine is seen in it, and which of that may be written.

Only the standard library: it runs where nothing more can be loaded.
"""

# ruff: noqa: PTH102, PTH103, PTH112, PTH114, PTH115, PTH120, PTH208, PTH211
# (pathlib would cost a third of the time that a sandbox takes)

from __future__ import annotations

import ctypes
import os

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REC, PRIVATE, SLAVE, SHARED = 16384, 1 << 18, 1 << 19, 1 << 20
_REMOUNT, _BIND, _MOVE = 32, 4096, 8192
_DETACH = 2
_KEPT_FLAGS = NOSUID | NODEV | NOEXEC | 0x400 | 0x800 | 0x200000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}
OLD = "/old"
"""Where the machine's own root is seen while another is made."""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    check(
        libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            os.fsencode(data) if data else None,
        ),
        f"mount {target}",
    )


def unmount(place: str) -> None:
    """It is gone from sight now, and for good once nobody uses it."""
    check(libc.umount2(os.fsencode(place), _DETACH), f"umount {place}")


def pivot_root(new: str, old: str) -> None:
    check(libc.syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()), "pivot_root")


class Root:
    """A new root, made at `place` while the machine's own is seen below OLD."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._made: dict[str, tuple[bool, bool]] = {}
        """What was mounted on purpose: whether it may be written, and whether it holds devices."""
        self._stage = ""
        """Where what comes later is made whole before it is shown; '' while nobody looks yet."""
        os.makedirs(place, exist_ok=True)  # in what was laid, others had theirs here
        mount("tmpfs", place, "tmpfs", NOSUID | NODEV, "mode=0755")

    def mount(self, kind: str, path: str, flags: int, data: str | None = None) -> None:
        """A file system of its own."""
        os.makedirs(self.place + path, 0o755, exist_ok=True)
        mount(kind, self.place + path, kind, flags, data)
        self._made[self.place + path] = (True, True)

    def cover(self, path: str) -> None:
        """What only its owner may write is read-only even to him."""
        place = self.place + path
        if os.access(place, os.W_OK):
            mount(place, place, None, _BIND | REC)
            narrow(place, False, False)
            self._made[place] = (False, False)

    def plant(self, other: str) -> None:
        """Show all that another root has, with the rights that it has there."""
        for name in os.listdir(other):
            source, target = f"{other}/{name}", f"{self.place}/{name}"
            if os.path.islink(source):
                os.symlink(os.readlink(source), target)
            else:
                os.mkdir(target)
                mount(source, target, None, _BIND | REC)

    def show(self, source: str, path: str, *, writable: bool, devices: bool = False) -> None:
        """Bind `source` of the machine's root to `path` of the new one."""
        source, target = OLD + source, self.place + path
        if self._stage:
            _refuse_links(target)
        if os.path.isdir(source):
            os.makedirs(target, 0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            if not os.path.lexists(target):
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        if not self._stage:
            mount(source, target, None, _BIND | REC)
            narrow(target, writable, devices)
            self._made[target] = (writable, devices)
            return
        staged = f"{self._stage}/{len(self._made)}"
        if os.path.isdir(source):
            os.mkdir(staged)
        else:
            os.close(os.open(staged, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(source, staged, None, _BIND | REC)
        narrow(staged, writable, devices)
        self._made[staged] = (writable, devices)
        self._narrow_below(staged + "/")
        mount(staged, target, None, _MOVE)

    def share(self) -> None:
        """From now on, what is shown is seen by who left with a copy of our mounts too, and that with the rights that it was
        mounted with: they do not follow it."""
        self._stage = "/stage"
        os.makedirs(self._stage, exist_ok=True)
        mount("tmpfs", self._stage, "tmpfs", NOSUID | NODEV, "mode=0700")
        mount("none", self.place, None, REC | SHARED)

    def narrow_below(self) -> None:
        """What came along with the folders that were shown: a remount reaches one mount only, and /sys has many."""
        self._narrow_below(self.place + "/")

    def _narrow_below(self, start: str) -> None:
        for place in _mounts(start):
            above = os.path.dirname(place)
            while above not in self._made and above != "/":
                above = os.path.dirname(above)
            if place in self._made or above not in self._made:
                continue
            try:
                narrow(place, *self._made[above])
            except OSError:
                mount("tmpfs", place, "tmpfs", NOSUID | NODEV | RDONLY)


def _refuse_links(path: str) -> None:
    """Somebody was in the new root already, and a link of theirs could lead us to the old one."""
    while path != "/":
        if os.path.islink(path):
            raise OSError(f"{path} is a link")
        path = os.path.dirname(path)


def narrow(target: str, writable: bool, devices: bool) -> None:
    flags = os.statvfs(target).f_flag & _KEPT_FLAGS
    flags |= _BIND | _REMOUNT | NOSUID | (0 if devices else NODEV) | (0 if writable else RDONLY)
    mount("none", target, None, flags)


def mount_table() -> bytes:
    """The kernel's list of what is mounted where we are, while we see the machine's /proc or our own."""
    for proc in ("/new/proc", f"{OLD}/proc", "/proc"):
        try:
            descriptor = os.open(f"{proc}/self/mountinfo", os.O_RDONLY)
        except OSError:
            continue
        told = b""
        while part := os.read(descriptor, 1 << 20):
            told += part
        os.close(descriptor)
        return told
    raise OSError("there is no /proc")


def _mounts(start: str) -> list[str]:
    """The mounts below it, outermost first. Where one hides another of the same place, it is named once."""
    found: dict[str, None] = {}
    for line in mount_table().splitlines():
        place = line.split(b" ")[4]
        for code in (b" ", b"\t", b"\n", b"\\"):
            place = place.replace(b"\\%03o" % code[0], code)
        if place.startswith(os.fsencode(start)):
            found[os.fsdecode(place)] = None
    return list(found)
