"""What was hashed before: a file whose size, times and inode are as they were need not be read again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from mayfly.kit.ids import Digest

_SLACK_NS = 2_000_000_000
"""A file that changed within this time before the cache was opened is not remembered: a second change in the same tick
of the file system's clock would leave no trace."""
_LIMIT = 200_000
_VERSION = 1


class Stamp(NamedTuple):
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stamp:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


Known = tuple[int, int, int, int, Digest]
"""A stamp and the digest."""


class _Kept(msgspec.Struct):
    version: int
    files: dict[str, Known]


class StatCache:
    """Absolute path → (stamp, digest), in one JSON file.

    Only a hint: a missing, damaged or unwritable file is an empty one. Processes may share the file, the last `save`
    wins. Not for several threads at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._fresh: dict[str, Known] = {}
        self._learned = False
        self._opened_ns = self._file_system_now()

    def get(self, path: str, stamp: Stamp) -> Digest | None:
        known = self._known.get(path)
        if known is None or known[:4] != stamp:
            return None
        self._fresh[path] = known
        return known[4]

    def put(self, path: str, stamp: Stamp, digest: Digest) -> None:
        if stamp.mtime_ns < self._opened_ns - _SLACK_NS and stamp.ctime_ns < self._opened_ns - _SLACK_NS:
            self._fresh[path] = (stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, digest)
            self._learned = True

    def save(self) -> None:
        """Write what is known, the newest uses last; the oldest fall out beyond a limit. Nothing new: nothing is
        written."""
        if not self._learned:
            return
        merged = {key: value for key, value in self._known.items() if key not in self._fresh} | self._fresh
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(msgspec.json.encode(_Kept(_VERSION, dict(list(merged.items())[-_LIMIT:]))))
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


def _load(path: Path) -> dict[str, Known]:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return {}
    return kept.files if kept.version == _VERSION else {}
