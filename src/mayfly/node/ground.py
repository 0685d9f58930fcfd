"""What all sandboxes of a node show alike: the machine's system, its devices and /sys. It takes most of what a sandbox takes, so it is
laid once, ahead, in a mount namespace that only a descriptor keeps, and each sandbox begins as a copy of it. One that finds
nothing laid, or something that is not any more as the machine is, lays its own.

Only the standard library, as `enter.py`.
"""

# ruff: noqa: PTH102, PTH103, PTH112, PTH116, PTH211

from __future__ import annotations

import os

from mayfly.node.roots import (
    NEWNS,
    NODEV,
    NOSUID,
    OLD,
    PRIVATE,
    REC,
    SLAVE,
    Root,
    check,
    libc,
    mount,
    mount_table,
    pivot_root,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PLACE = "/ground"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_OWN_FILES = ("passwd", "group")
"""What each sandbox has of its own in /etc."""


def lay(words: Sequence[str]) -> None:
    """In a mount namespace of our own, whose root is none of the machine's afterwards. `words`: `--link <target> <path>` and
    `--read <source> <path>`."""
    before = os.umask(0o022)
    mount("none", "/", None, REC | SLAVE)  # what the machine gives up is not held here
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "mode=0755")
    os.mkdir("/tmp" + OLD)
    pivot_root("/tmp", "/tmp" + OLD)
    os.chdir("/")
    root = Root(_PLACE)
    root.mount("tmpfs", "/dev", NOSUID | NODEV, "mode=0755")
    for folder in ("pts", "shm"):
        os.mkdir(f"{_PLACE}/dev/{folder}")
    for name in _DEVICES:
        root.show(f"/dev/{name}", f"/dev/{name}", writable=True, devices=True)
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ):
        os.symlink(target, f"{_PLACE}/dev/{name}")
    if os.path.isdir(OLD + "/sys"):
        root.show("/sys", "/sys", writable=False)
    for kind, source, path in _told(words):
        if kind == "--link":
            os.symlink(source, _PLACE + path)
        else:
            root.show(source, path, writable=False)
    if words:
        os.makedirs(f"{_PLACE}/etc", exist_ok=True)
        for name in _OWN_FILES:
            os.close(os.open(f"{_PLACE}/etc/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
        root.cover("/etc")
    root.narrow_below()
    mount("none", _PLACE, None, REC | PRIVATE)
    os.umask(before)


def planted(place: str) -> Root:
    """A root at `place` that shows what was laid."""
    root = Root(place)
    root.plant(_PLACE)
    return root


class Ground:
    """One that was laid ahead. Without root's rights there is none."""

    def __init__(self) -> None:
        self.descriptor = -1
        """Of its mount namespace; -1: there is none."""
        self._words: Sequence[str] = ()
        self._seen: object = None

    def tend(self, words: Sequence[str]) -> None:
        """Lay it, where there is none for these words that is as the machine is now."""
        if os.geteuid() == 0 and words and not self.holds(words):
            self.clear()
            seen = _look(words)  # before it is laid: what changes meanwhile will be noticed
            self.descriptor = _laid(words)
            self._words, self._seen = words, seen

    def holds(self, words: Sequence[str]) -> bool:
        """Whether it shows just that, as the machine is now: with the files and the mounts that it has."""
        return self.descriptor >= 0 and self._words == words and self._seen == _look(words)

    def clear(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def enter(descriptor: int) -> bool:
    """Go to a copy of it, where it may be that we are not let."""
    return libc.setns(descriptor, NEWNS) == 0


def _laid(words: Sequence[str]) -> int:
    """A descriptor of the namespace in which a child has laid it; -1 where it could not."""
    done, tells = os.pipe2(os.O_CLOEXEC)
    stays, leave = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(leave)
            check(libc.unshare(NEWNS), "unshare")
            lay(words)
            os.write(tells, b"\n")
            os.read(stays, 1)
        finally:
            os._exit(0)
    os.close(tells)
    os.close(stays)
    try:
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) if os.read(done, 1) else -1
    except OSError:
        return -1
    finally:
        os.close(done)
        os.close(leave)


def _look(words: Sequence[str]) -> object:
    found = []
    for kind, source, _ in _told(words):
        if kind == "--read":
            try:
                seen = os.stat(source)
            except OSError:
                found.append((0, 0))
            else:
                found.append((seen.st_dev, seen.st_ino))
    return mount_table(), found


def _told(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    return zip(words[::3], words[1::3], words[2::3], strict=True)
