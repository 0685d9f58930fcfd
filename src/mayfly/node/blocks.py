"""Remote files read in pieces: a cache of blocks on disk, shared by version and bounded, and a reader that looks ahead."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mayfly.kit.errors import MayflyError, Unavailable

BLOCK = 1 << 20
AHEAD = 8
"""Blocks that a reader who goes straight on has fetched in one piece, at most."""
_ACROSS = 4
"""Pieces of one file on their way at the same time."""

Fetch = Callable[[int, int], Iterator[bytes]]
"""(offset, length) → the bytes, in chunks. Raises as `Server.read` does."""


class Changed(Exception):
    """The file is another version now; what was read of it so far does not fit what would follow."""


class GivenUp(Exception):
    """The bytes did not come."""


class CalledOff(Exception):
    """Nobody waits for them any more."""


class BlockCache:
    """Blocks below one folder: `<folder>/<file key>/<number>`. A block is there whole or not at all; the least recently
    used go when there are more than `limit` bytes or the disk is short. Any number of processes may share it."""

    def __init__(self, folder: Path, limit: int, reserve: int) -> None:
        self._folder, self._limit, self._reserve = folder, limit, reserve
        self._lock = threading.Lock()
        self._written = limit  # look once at the start

    def get(self, key: str, number: int, start: int, length: int) -> bytes | None:
        """`length` bytes of a block from `start`; None when it is not here."""
        try:
            with open(self._folder / key / str(number), "rb", buffering=0) as file:
                if start == 0:
                    os.utime(file.fileno())
                return os.pread(file.fileno(), length, start)
        except OSError:
            return None

    def has(self, key: str, number: int) -> bool:
        return os.access(self._folder / key / str(number), os.F_OK)

    def put(self, key: str, number: int, data: bytes) -> bool:
        """Keep a block; False when the disk does not take it."""
        place = self._folder / key / str(number)
        part = place.with_name(f"{number}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.rename(place)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._account(self._limit)
            return False
        self._account(len(data))
        return True

    def _account(self, size: int) -> None:
        with self._lock:
            self._written += size
            if self._written < self._limit // 16:
                return
            self._written = 0
        with suppress(OSError):
            self._shrink()

    def _shrink(self) -> None:
        found: list[tuple[float, int, Path]] = []
        old = time.time() - 3600
        for folder in self._folder.iterdir():
            for place in folder.iterdir():
                with suppress(OSError):
                    seen = place.stat()
                    if place.suffix == ".part" and seen.st_mtime < old:
                        place.unlink()
                        continue
                    found.append((seen.st_mtime, seen.st_size, place))
        space = os.statvfs(self._folder)
        short = self._reserve - space.f_bavail * space.f_frsize
        surplus = max(sum(size for _, size, _ in found) - self._limit * 7 // 8, short)
        for _, size, place in sorted(found):
            if surplus <= 0:
                return
            with suppress(OSError):
                place.unlink()
                surplus -= size


class Remote:
    """One remote file. `read` may be called by many threads; a block is fetched once, whoever asks for it first."""

    def __init__(self, key: str, size: int, cache: BlockCache, pool: ThreadPoolExecutor, fetch: Fetch) -> None:
        self.size = size
        self._key, self._cache, self._pool, self._fetch = key, cache, pool, fetch
        self._lock = threading.Lock()
        self._coming: dict[int, Future[bytes]] = {}
        self._homeless: OrderedDict[int, bytes] = OrderedDict()
        """Blocks that the disk did not take, the newest last."""
        self._pieces = 0

    def read(self, offset: int, length: int, ahead: int, called_off: Callable[[], bool]) -> bytes:
        """Waits for as long as the bytes may still come and `called_off` says no. Raises Changed, GivenUp, CalledOff."""
        end = min(offset + length, self.size)
        parts = []
        while offset < end:
            number, start = divmod(offset, BLOCK)
            part = self._block(number, start, min(BLOCK - start, end - offset), ahead, called_off)
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, number: int, start: int, length: int, ahead: int, called_off: Callable[[], bool]) -> bytes:
        self.want(number, ahead)
        with self._lock:
            coming, homeless = self._coming.get(number), self._homeless.get(number)
        if homeless is not None:
            return homeless[start : start + length]
        if coming is None:
            data = self._cache.get(self._key, number, start, length)
            if data is not None and len(data) == length:
                return data
            coming = self._order(number, 1)[0]  # it was dropped from the cache just now
        while True:
            try:
                return coming.result(0.1)[start : start + length]
            except TimeoutError:
                if called_off():
                    raise CalledOff from None

    def want(self, number: int, ahead: int) -> None:
        """Have block `number` and `ahead` more on their way, in pieces of at most AHEAD blocks."""
        last = min(number + ahead, (max(self.size, 1) - 1) // BLOCK)
        with self._lock:
            wanted = [n for n in range(number, last + 1) if n not in self._coming and n not in self._homeless]
            missing = [n for n in wanted if not self._cache.has(self._key, n)]
            busy = self._pieces >= _ACROSS
        if not missing or (missing[0] != number and (busy or len(missing) < max(1, ahead // 2))):
            return
        count = 1
        while count < len(missing) and missing[count] == missing[0] + count and count < AHEAD:
            count += 1
        self._order(missing[0], count)

    def _order(self, first: int, count: int) -> list[Future[bytes]]:
        with self._lock:
            known = [self._coming[n] for n in range(first, first + count) if n in self._coming]
            if known:
                return known
            futures: list[Future[bytes]] = [Future() for _ in range(count)]
            self._coming |= {first + place: future for place, future in enumerate(futures)}
            self._pieces += 1
        self._pool.submit(self._bring, first, futures)
        return futures

    def _bring(self, first: int, futures: list[Future[bytes]]) -> None:
        """Fetch one piece; each block is handed on as soon as it is whole."""
        try:
            self._stream(first, futures)
        except Unavailable as error:
            self._fail(first, futures, GivenUp(error.message))
        except MayflyError as error:
            self._fail(
                first, futures, Changed(error.message) if error.code == "DataChanged" else GivenUp(error.message)
            )
        except Exception as error:  # noqa: BLE001  (who waits must hear of it)
            self._fail(first, futures, GivenUp(str(error)))
        finally:
            with self._lock:
                self._pieces -= 1

    def _stream(self, first: int, futures: list[Future[bytes]]) -> None:
        begin, end = first * BLOCK, min((first + len(futures)) * BLOCK, self.size)
        held, done = bytearray(), 0
        for chunk in self._fetch(begin, end - begin):
            held += chunk
            while done < len(futures) and len(held) >= self._length(first + done):
                length = self._length(first + done)
                data = bytes(held[:length])
                del held[:length]
                self._deliver(first + done, futures[done], data)
                done += 1
        if done < len(futures):
            raise Unavailable("AnswerBroken", "The bytes broke off.")

    def _deliver(self, number: int, future: Future[bytes], data: bytes) -> None:
        kept = self._cache.put(self._key, number, data)
        with self._lock:
            self._coming.pop(number, None)
            if not kept:
                self._homeless[number] = data
                while len(self._homeless) > 2 * AHEAD:
                    self._homeless.popitem(last=False)
        future.set_result(data)

    def _fail(self, first: int, futures: list[Future[bytes]], error: Exception) -> None:
        with self._lock:
            for place in range(len(futures)):
                if self._coming.get(first + place) is futures[place]:
                    del self._coming[first + place]
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def _length(self, number: int) -> int:
        return min(BLOCK, self.size - number * BLOCK)


class Reader:
    """One open file: the further a reader goes straight on, the more is fetched ahead."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._lock = threading.Lock()
        self._reached, self._ahead = -1, 0

    def read(self, offset: int, length: int, called_off: Callable[[], bool]) -> bytes:
        return self._remote.read(offset, length, self._look(offset // BLOCK), called_off)

    def _look(self, number: int) -> int:
        with self._lock:
            if self._reached < number <= self._reached + 2:  # the kernel's own readers overtake one another a little
                self._ahead = min(max(1, self._ahead * 2), 2 * AHEAD) if self._reached >= 0 else 0
                self._reached = number
            elif not self._reached - 4 <= number <= self._reached:
                self._ahead, self._reached = 0, number
            return self._ahead
