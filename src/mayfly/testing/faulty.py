"""A world that fails: disks that fill up, a network that is cut, a clock that is set. As root only; whoever asks is told."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_NEW_NETWORK = 0x40000000
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static long long nothing, *off = &nothing;
static int (*get)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    get = dlsym(RTLD_NEXT, "clock_gettime");
    int file = open(getenv("OFF_BY"), O_RDONLY);
    void *found = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) off = found;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    if (!get) get = dlsym(RTLD_NEXT, "clock_gettime");
    int said = get(which, now);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) now->tv_sec += *off;
    return said;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec, now->tv_usec = found.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    return now ? (*now = found.tv_sec) : found.tv_sec;
}
"""


class Disk:
    """A disk of its own at `place`, which must be there."""

    def __init__(self, place: Path, mib: int) -> None:
        self.place = place
        self._ballast = place / "ballast"
        _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place))
        self._lent: list[Path] = []

    def lend(self, name: str, outside: Path) -> None:
        """Let a folder of it lie on another disk."""
        inner = self.place / name
        for one in (inner, outside):
            one.mkdir(parents=True, mode=0o700, exist_ok=True)
        _run("mount", "--bind", str(outside), str(inner))
        self._lent.append(inner)

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        self._ballast.unlink()

    def grow(self, mib: int) -> None:
        _run("mount", "-o", f"remount,size={mib}m", str(self.place))

    def end(self) -> None:
        for place in (*reversed(self._lent), self.place):
            subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


@contextlib.contextmanager
def disk(place: Path, mib: int) -> Iterator[Disk]:
    _for_root()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Disk(place, mib)
    try:
        yield made
    finally:
        made.end()


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Nobody can write below `place`, root neither."""
    _for_root()
    _run("mount", "--bind", str(place), str(place))
    try:
        _run("mount", "-o", "remount,bind,ro", str(place))
        yield
    finally:
        _run("umount", "-l", str(place))


class Network:
    """A network of this thread's own, and of what it starts: nothing but a loopback that can be cut."""

    def cut(self) -> None:
        _run("ip", "link", "set", "lo", "down")

    def heal(self) -> None:
        _run("ip", "link", "set", "lo", "up")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    _for_root()
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(_NEW_NETWORK):
        os.close(before)
        pytest.skip(f"no network namespace can be made here: {errno.errorcode[ctypes.get_errno()]}")
    made = Network()
    try:
        made.heal()
        yield made
    finally:
        libc.setns(before, _NEW_NETWORK)
        os.close(before)


class Clock:
    """What the processes that get `environ` take for the time of day, SQLite within them included; their monotonic
    clocks go on, as on a machine whose clock is set."""

    def __init__(self, place: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler is installed (Debian: gcc, libc6-dev)")
        self._file = place / "clock"
        self._file.write_bytes(struct.pack("q", 0))
        (place / "clock.c").write_text(_CLOCK)
        _run(compiler, "-shared", "-fPIC", "-O1", "-o", str(place / "clock.so"), str(place / "clock.c"), "-ldl")
        self.environ = {"LD_PRELOAD": str(place / "clock.so"), "OFF_BY": str(self._file)}

    def set(self, off_s: int) -> None:
        """So many seconds off from what it is."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", off_s))


def _for_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts and namespaces are made by root only")


def _run(*command: str) -> None:
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    if said.returncode:
        denied = "permission denied" in said.stderr.lower() or "not permitted" in said.stderr.lower()
        (pytest.skip if denied else pytest.fail)(f"{' '.join(command)}: {said.stderr.strip()}")
