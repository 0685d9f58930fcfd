"""What was hashed before: a file whose size, times and inode are as they were need not be read again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from mayfly.kit.ids import Digest
from mayfly.wire.learning import learn

_SLACK_NS = 2_000_000_000
"""A file that changed within this time before the cache was opened is not remembered: a second change in the same tick
of the file system's clock would leave no trace."""
_LIMIT = 200_000
_VERSION = 1


Known = tuple[int, int, int, int, Digest]
"""Size, time of the last change of the content and of the file, both in nanoseconds, inode, and the digest."""


class _Kept(msgspec.Struct):
    version: int
    files: dict[str, Known]


learn(_Kept)


class StatCache:
    """Absolute path → what it was and its digest, in one JSON file.

    Only a hint: a missing, damaged or unwritable file is an empty one. Processes may share the file, the last `save`
    wins. Not for several threads at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._used: list[str] = []
        self._learned: dict[str, Known] = {}
        self._opened_ns = self._file_system_now()

    def get(self, path: str, now: os.stat_result) -> Digest | None:
        known = self._known.get(path)
        if known is None:
            return None
        size, mtime, ctime, inode, digest = known
        if mtime != now.st_mtime_ns or size != now.st_size or ctime != now.st_ctime_ns or inode != now.st_ino:
            return None
        self._used.append(path)
        return digest

    def put(self, path: str, now: os.stat_result, digest: Digest) -> None:
        if max(now.st_mtime_ns, now.st_ctime_ns) < self._opened_ns - _SLACK_NS:
            self._learned[path] = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, digest)

    def save(self) -> None:
        """Write what is known, the newest uses last; the oldest fall out beyond a limit. Nothing new: nothing is
        written."""
        if not self._learned:
            return
        used = {path: self._known[path] for path in self._used} | self._learned
        merged = {path: known for path, known in self._known.items() if path not in used} | used
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
