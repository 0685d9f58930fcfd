"""What this machine keeps for later jobs: trees by digest, read-only. Shared by all node processes that are given the
same cache folder; a folder is built beside and renamed, so a half-built one is never seen."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mayfly.node.server import Server
from mayfly.transfer import trees
from mayfly.transfer.removal import remove_tree


@contextmanager
def single_flight(lock: Path) -> Iterator[None]:
    """One process and thread at a time for this lock file; the others wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def built_once(place: Path, build: Callable[[Path], None]) -> Path:
    """`place`, made by `build(part)` if it is not there: once among all processes, whole or not at all."""
    if place.exists():
        return place
    with single_flight(place.with_name(place.name + ".lock")):
        if place.exists():
            return place
        for stale in place.parent.glob(f"{place.name}.*.part"):  # left by a build whose agent was killed
            with suppress(OSError):
                remove_tree(stale)
        part = place.with_name(f"{place.name}.{os.getpid()}-{time.monotonic_ns()}.part")
        part.mkdir(parents=True)
        try:
            build(part)
        except BaseException:
            remove_tree(part)
            raise
        part.rename(place)
    return place


def pin(place: Path, pins: Path) -> None:
    """Before looking whether `place` is there: the attempt to which `pins` belongs uses it, until its folder is gone.
    What is pinned is not pruned (`drivers.node_cache`), and its lock file tells when it was last used."""
    place.parent.mkdir(parents=True, exist_ok=True)
    pins.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place.with_name("pins.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        (pins / place.name).touch()
        place.with_name(place.name + ".lock").touch(0o600)
    finally:
        os.close(descriptor)


def tree(cache: Path, digest: str, server: Server, pins: Path) -> Path:
    """The read-only folder with the contents of this tree, pinned for an attempt. Raises Broken `ContentMismatch`, `ContentMissing`, Invalid
    `TreeInvalid`, Unavailable."""

    def build(part: Path) -> None:
        listing = server.tree(digest)
        trees.materialise(listing, part, server.fetch(listing))
        protect(part)

    place = cache / "trees" / digest
    pin(place, pins)
    return built_once(place, build)


def private_copy(source: Path, target: Path) -> None:
    """A copy of a cached tree that may be written. A half-made one of an earlier try is replaced."""
    remove_tree(target)
    shutil.copytree(source, target)
    for parent, _, files in os.walk(target):
        os.chmod(parent, 0o755)  # noqa: PTH101
        for name in files:
            path = Path(parent, name)
            path.chmod(path.stat().st_mode | 0o200)


def protect(folder: Path) -> None:
    """Readable for everybody, writable for nobody."""
    for parent, _, files in os.walk(folder):
        for name in files:
            path = Path(parent, name)
            path.chmod(0o555 if path.stat().st_mode & 0o100 else 0o444)
        os.chmod(parent, 0o555)  # noqa: PTH101
