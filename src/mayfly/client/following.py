"""Following a job's stream through breaks: comes back with what it has, so that no line is lost and none comes twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mayfly.client.doors import Doors, View
from mayfly.kit.errors import Unavailable

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0


@dataclass(frozen=True, slots=True)
class LogPiece:
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class JobSeen:
    """The job's status or phase changed; `ended` when nothing follows."""

    job: View
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Away:
    """The server went away; following goes on by itself when it is back. Said once for each break."""

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """The server answers again."""


Seen = LogPiece | JobSeen | Away | Back


@dataclass(slots=True)
class Following:
    """One job being followed. `reopen` gives doors that answer, raising Unavailable while there are none."""

    name: str
    doors: Doors
    reopen: Callable[[], Doors]
    pause: Callable[[float], None] = time.sleep
    offsets: dict[str, int] = field(default_factory=dict)
    """Bytes received of each log file."""

    def events(self) -> Iterator[Seen]:
        """Everything until the job has ended. Raises what the doors raise, NotFound first of all, but never Unavailable:
        the job goes on without the server, so we wait for it."""
        failures, broken = 0, False
        while True:
            try:
                if failures:
                    self.doors.session.close()
                    self.doors = self.reopen()
                for seen in self._once():
                    if broken:
                        yield Back()
                    failures, broken = 0, False
                    yield seen
                    if isinstance(seen, JobSeen) and seen.ended:
                        return
                reason = "the stream ended early"
            except Unavailable as error:
                reason = error.message
            failures += 1
            if failures > 1 and not broken:
                broken = True
                yield Away(reason)
            self.pause(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 5)))

    def _once(self) -> Iterator[Seen]:
        for event, data in self.doors.stream(self.name, self.offsets):
            if event == "log":
                if piece := self._accept(data):
                    yield piece
            elif event in ("job", "end"):
                yield JobSeen(data, ended=event == "end")

    def _accept(self, data: View) -> LogPiece | None:
        """Only what is new. A piece that begins before what we have is cut when it is plain ASCII, as its bytes are then
        its characters; the server sends such a piece only if it did not read our offsets."""
        file, text, offset = str(data["file"]), str(data["text"]), int(data["offset"])
        after = int(data.get("next", offset + len(text.encode())))
        have = self.offsets.get(file, 0)
        if after <= have:
            return None
        self.offsets[file] = after
        if offset < have:
            text = text.encode()[have - offset :].decode("utf-8", "replace")
        return LogPiece(file, text)
