"""The end of a log, kept as events that many streams send: made once, whoever sends them and however slowly."""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mayfly.services.logs import LogFile

Read = Callable[[LogFile, int, int], bytes]
"""A log file's bytes from an offset on, at most so many."""

KEPT = 1 << 18
"""Bytes of one file that are kept as events; who is further behind reads the file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    begin: int
    after: int
    event: bytes


class Text:
    """Bytes of one log as they come, from an offset on, made into events. A character whose bytes have not all come waits
    for the rest."""

    def __init__(self, name: str, offset: int) -> None:
        self.name = name
        self.begin = offset
        """Where the next event begins."""
        self.end = offset
        """Of the bytes that have come."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def event(self, data: bytes, *, final: bool = False) -> Chunk | None:
        text = self._decoder.decode(data, final)
        begin, self.end = self.begin, self.end + len(data)
        self.begin = self.end - len(self._decoder.getstate()[0])
        if not text:
            return None
        told = json.dumps({"file": self.name, "offset": begin, "next": self.begin, "text": text})
        return Chunk(begin, self.begin, event_of("log", told))


class Tail:
    """The newest bytes of one log file. One task grows it; others read meanwhile, on the same loop."""

    def __init__(self, log: LogFile, read: Read) -> None:
        start = _boundary(log, read, log.size - KEPT) if log.size > KEPT else 0
        self.log = log
        self._text = Text(log.name, start)
        self._chunks: deque[Chunk] = deque()
        self._at: dict[int, Chunk] = {}

    @property
    def end(self) -> int:
        """Where the last event ends: all before can be sent."""
        return self._text.begin

    @property
    def read_to(self) -> int:
        return self._text.end

    def grow(self, data: bytes, *, final: bool = False) -> None:
        chunk = self._text.event(data, final=final)
        if chunk is None:
            return
        self._chunks.append(chunk)
        self._at[chunk.begin] = chunk
        while len(self._chunks) > 1 and chunk.after - self._chunks[0].after >= KEPT:
            del self._at[self._chunks.popleft().begin]

    def at(self, offset: int) -> Chunk | None:
        """What begins just there."""
        return self._at.get(offset)

    def joins(self, offset: int) -> int:
        """Up to where to read the file from this offset, to go on with what is kept."""
        return next((chunk.begin for chunk in self._chunks if chunk.begin > offset), self.end)


def event_of(kind: str, data: str) -> bytes:
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _boundary(log: LogFile, read: Read, offset: int) -> int:
    """The first place from there on where a character begins (or where there is none within four bytes)."""
    following = read(log, offset, 4)
    return offset + next((at for at, byte in enumerate(following) if byte & 0xC0 != 0x80), 0)
