"""What the servers of one store tell each other, gathered and told in few notices: that rows have changed, which nodes were
heard, how far their preparing is. All of it are hints: whoever misses one finds it in the rows, or hears of it again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from mayfly.kit.clock import Clock
from mayfly.services.contacts import Contacts
from mayfly.services.progress import News, Progress
from mayfly.services.wakeups import Wakeups

LONGEST = 7_900
"""Bytes of a notice."""
_ROUND_S = 1.0
"""How often nodes that were heard are told of: a quarter of what would do (domain.node.HEARTBEAT_MS)."""

log = structlog.get_logger()


class Notice(msgspec.Struct, omit_defaults=True):
    server: str
    topics: Sequence[str] = ()
    heard: Sequence[str] = ()
    """Nodes."""
    progress: Sequence[News] = ()


class Tidings:
    """Between the memory of this server, `me`, and the others'."""

    def __init__(self, me: str, wakeups: Wakeups, contacts: Contacts, progress: Progress, clock: Clock) -> None:
        self._me = me
        self._wakeups, self._contacts, self._progress = wakeups, contacts, progress
        self._clock = clock
        self._tell: Callable[[str], object] = lambda _text: None
        self._lock = threading.Lock()
        self._topics: set[str] = set()
        self._due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tidings", daemon=True)
        self.alone = True
        """Whether no other server is known; then nothing need be told."""

    def start(self, tell: Callable[[str], object]) -> None:
        """`tell` sends a notice to all servers, this one included; it may fail. From now on the others know of this one."""
        self._tell = tell
        self._wakeups.elsewhere = self._changed
        self._contacts.shared = self._progress.shared = True
        self._send(Notice(self._me))
        self._thread.start()

    def stop(self) -> None:
        """What was gathered is told first."""
        self._closing = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def hear(self, text: str) -> None:
        """A notice has come."""
        try:
            notice = msgspec.json.decode(text, type=Notice)
        except msgspec.MsgspecError:
            log.warning("a notice that is not understood", text=text[:200])
            return
        if notice.server == self._me:
            return
        self.alone = False
        self._contacts.heard_elsewhere(notice.heard, self._clock.now())
        self._progress.said_elsewhere(notice.progress)
        self._wakeups.wake_here(notice.topics)

    def _changed(self, topics: Iterable[str]) -> None:
        if not self.alone:
            with self._lock:
                self._topics.update(topics)
            self._due.set()

    def _run(self) -> None:
        while not self._closing:
            self._due.wait(_ROUND_S)
            self._due.clear()
            with self._lock:
                topics, self._topics = self._topics, set()
            heard, progress = self._contacts.news(), self._progress.news()
            if not self.alone and (topics or heard or progress):
                self._send(Notice(self._me, sorted(topics), heard, progress))

    def _send(self, notice: Notice) -> None:
        text = msgspec.json.encode(notice)
        if len(text) <= LONGEST:
            self._tell(text.decode())
            return
        for smaller in _split(notice):
            self._send(smaller)


def _split(notice: Notice) -> list[Notice]:
    """Several smaller ones of all it says; what cannot be said more briefly is let go."""
    told = {"progress": notice.progress, "heard": notice.heard, "topics": notice.topics}
    parts = {kind: list(part) for kind, part in told.items() if part}
    if len(parts) > 1:
        return [Notice(notice.server, **{kind: part}) for kind, part in parts.items()]
    (kind, part), *_ = parts.items()
    if len(part) < 2:
        log.warning("a notice that is too large", about=kind)
        return []
    middle = len(part) // 2
    return [Notice(notice.server, **{kind: some}) for some in (part[:middle], part[middle:])]
