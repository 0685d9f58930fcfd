"""The cache that the nodes of this machine share (ports.caches.NodeCaches): `<cache>/environments`, `<cache>/images` and
`<cache>/trees`.

The nodes' side is `node.cache`: an attempt pins what it is about to use, under a shared lock, and whoever makes a folder
or works in it holds that folder's own lock.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from mayfly.kit.clock import Millis
from mayfly.ports.caches import Cached
from mayfly.transfer.removal import remove_tree

_OPEN = "-open"
"""What the name of an environment below an overlay ends with, after its digest."""
_AWAY = ".gone"


class NodeCache:
    """`nodes`: the folder of all nodes' folders, in which attempts say what they use."""

    def __init__(self, cache: Path, nodes: Path) -> None:
        self._cache, self._nodes = cache, nodes

    def prune(self, before: Millis, keep: Set[str], *, dry_run: bool) -> Cached:
        counts = {"environments": 0, "images": 0, "trees": 0}
        gone = kept = kept_bytes = 0
        inodes: set[tuple[int, int]] = set()
        for kind in counts:
            for place in self._places(self._cache / kind, dry_run):
                size = _size(place, inodes)
                needed = place.name.removesuffix(_OPEN) in keep or _used(place) >= before
                if not needed and self._remove(place, dry_run):
                    counts[kind] += 1
                    gone += size
                else:
                    kept += 1
                    kept_bytes += size
        return Cached(**counts, bytes=gone, kept=kept, kept_bytes=kept_bytes)

    def _places(self, folder: Path, dry_run: bool) -> list[Path]:
        """The whole folders there. What an interrupted call had put away is removed on the way."""
        found = []
        with suppress(FileNotFoundError):
            for place in sorted(folder.iterdir()):
                if place.name.endswith(_AWAY) and not dry_run:
                    remove_tree(place)
                elif place.is_dir() and "." not in place.name:
                    found.append(place)
        return found

    def _remove(self, place: Path, dry_run: bool) -> bool:
        away = place.with_name(f"{place.name}.{os.getpid()}{_AWAY}")
        with _locked(place.with_name(f"{place.name}.lock")) as mine:
            if not mine:
                return False  # it is made or compiled now
            with _locked(place.with_name("pins.lock"), wait=True):
                if any(self._nodes.glob(f"*/attempts/*/pins/{place.name}")):
                    return False
                if dry_run:
                    return True
                place.with_name(f"{place.name}.compiled").unlink(missing_ok=True)
                place.rename(away)
        remove_tree(away)
        return True


@contextmanager
def _locked(file: Path, *, wait: bool = False) -> Iterator[bool]:
    """Alone with this lock; False when another has it and we do not wait."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _used(place: Path) -> int:
    """When it was last used or made, in milliseconds since 1970."""
    latest = 0.0
    for one in (place, place.with_name(f"{place.name}.lock")):
        with suppress(OSError):
            latest = max(latest, one.stat().st_mtime)
    return int(latest * 1000)


def _size(place: Path, seen: set[tuple[int, int]]) -> int:
    """What its files take of the disk; a file that has many names counts once."""
    size = 0
    for parent, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(parent, name))  # noqa: PTH118
                if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    size += found.st_size
    return size
