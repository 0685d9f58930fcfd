"""How far an installation is, told while it lasts: it is only looked at, so it takes no longer."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_S = 1.0
_BESIDE = (".http", ".lock", ".msgpack", ".rev")
"""What uv keeps beside an unpacked wheel."""
_LOCKED = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]+)(.*)")


def locked(lock: str) -> list[tuple[str, str]]:
    """Name, in its one spelling, and version of each package that a lock names."""
    found = [_LOCKED.match(line) for line in lock.splitlines() if line[:1].strip()]
    return [(spelled(match[1]), match[2]) for match in found if match is not None]


def spelled(name: str) -> str:
    """The one spelling of a package's name: 'Foo_Bar' is 'foo-bar'."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Progress:
    """Counts packages that are installed in `root`, or at hand in the cache of uv, from where they are linked in no time
    (its folders differ between releases of uv: where they are not as expected, only what is installed counts)."""

    def __init__(self, lock: str, root: Path, cache: Path) -> None:
        self._root, self._cache = root, cache
        self._missing = dict.fromkeys(locked(lock))
        self.total = len(self._missing)

    @property
    def done(self) -> int:
        """Never less than before."""
        here = self._installed()
        for name, version in list(self._missing):
            if (name, version) in here or self._at_hand(name, version):
                del self._missing[name, version]
        return self.total - len(self._missing)

    def _installed(self) -> set[tuple[str, str]]:
        found = set()
        for place in self._root.glob("lib/python*/site-packages/*.dist-info"):
            name, _, version = place.stem.rpartition("-")
            found.add((spelled(name), version))
        return found

    def _at_hand(self, name: str, version: str) -> bool:
        for place in (*self._cache.glob("wheels-*/*"), *self._cache.glob("wheels-*/index/*")):
            if any(one.suffix not in _BESIDE for one in (place / name).glob(f"{version}-*")):
                return True
        return False


@contextmanager
def watched(progress: Progress, tell: Callable[[str], None], look_s: float = _LOOK_S) -> Iterator[None]:
    """Tells 'N of M packages' each time that it has changed, at most once in `look_s`, while the block lasts, and all of
    them when it ends well."""
    over = threading.Event()
    said = -1

    def look() -> None:
        nonlocal said
        while not over.wait(look_s):
            if (done := progress.done) != said:
                said = done
                tell(f"{done} of {progress.total} packages")

    watcher = threading.Thread(target=look, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    if said != progress.total:
        tell(f"{progress.total} of {progress.total} packages")
