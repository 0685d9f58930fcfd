"""What was hashed before: a file whose size, times and inode are as they were need not be read again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from mayfly.kit.ids import Digest

_SLACK_NS = 2_000_000_000
"""A file that changed within this time before the cache was opened is not remembered: a second change in the same tick
of the file system's clock would leave no trace."""
_LIMIT = 200_000


class Stamp(NamedTuple):
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stamp:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


class StatCache:
    """Absolute path → (stamp, digest), in one JSON file.

    Only a hint: a missing, damaged or unwritable file is an empty one. Processes may share the file, the last `save`
    wins. Not for several threads at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._fresh: dict[str, tuple[Stamp, Digest]] = {}
        self._opened_ns = self._file_system_now()

    def get(self, path: Path, stamp: Stamp) -> Digest | None:
        known = self._known.get(str(path))
        if known is None or known[0] != stamp:
            return None
        self._fresh[str(path)] = known
        return known[1]

    def put(self, path: Path, stamp: Stamp, digest: Digest) -> None:
        if stamp.mtime_ns < self._opened_ns - _SLACK_NS and stamp.ctime_ns < self._opened_ns - _SLACK_NS:
            self._fresh[str(path)] = (stamp, digest)

    def save(self) -> None:
        """Write what is known, the newest uses last; the oldest fall out beyond a limit."""
        merged = {key: value for key, value in self._known.items() if key not in self._fresh} | self._fresh
        kept = list(merged.items())[-_LIMIT:]
        body = {"version": 1, "files": {path: [*stamp, digest] for path, (stamp, digest) in kept}}
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8")
            part.replace(self._path)
        except (OSError, UnicodeEncodeError):
            part.unlink(missing_ok=True)

    def _file_system_now(self) -> int:
        """The clock that stamps files, asked by making one; 0 (remember nothing) when that fails."""
        probe = self._path.with_name(f"{self._path.name}.{os.getpid()}.probe")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            return probe.stat().st_mtime_ns
        except OSError:
            return 0
        finally:
            probe.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, tuple[Stamp, Digest]]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body.get("version") != 1:
            return {}
        return {
            name: (Stamp(*(int(number) for number in row[:4])), Digest(str(row[4])))
            for name, row in body["files"].items()
        }
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return {}
