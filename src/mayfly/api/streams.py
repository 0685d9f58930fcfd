"""A job as it happens: server-sent events, woken by the rows and the log bytes.

However many follow a job, one task looks for all of them. What it found is kept for a moment as ready events, and each stream
sends them at the pace of its own client: who is slow reads the log's file by itself and holds nobody up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

from anyio import to_thread

from mayfly.api.tails import Tail, Text, event_of
from mayfly.services import jobs, logs
from mayfly.services.logs import LogFile
from mayfly.services.world import World
from mayfly.wire.mayfly import JobView, StepView

KEEP_ALIVE_S = 10.0
TOGETHER = 32
"""Streams that send before anybody else on the event loop has a turn."""


class Streams:
    """The jobs that somebody follows. Used on one event loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._jobs: dict[str, _Watched] = {}

    async def follow(self, job: str, offsets: dict[str, int]) -> AsyncIterator[bytes]:
        """Events until the job has ended and its log was sent; the client may go away at any time. `offsets`: the bytes of
        each log file that it has."""
        watched = self._jobs.get(job)
        if watched is None or watched.over:
            watched = self._jobs[job] = _Watched(self._world, job)
        heard = watched.join()
        places = {name: Text(name, offset) for name, offset in offsets.items()}
        shown = None
        try:
            while True:
                heard.clear()
                last, face, over = watched.last, watched.face, watched.over  # all of the log is there when the end is
                silent = face is shown
                if face is not None and not silent:
                    shown = face
                    yield face
                for tail in list(watched.tails.values()):
                    async for event in _behind(self._world, job, tail, places):
                        silent = False
                        yield event
                if last is not None:
                    yield last
                    return
                if over:
                    watched.raise_failure()
                    return
                if silent and face is not None:
                    yield b": still here\n\n"
                await heard.wait()
        finally:
            if not watched.leave(heard) and self._jobs.get(job) is watched:
                del self._jobs[job]


class _Watched:
    """One job, looked at for all who follow it."""

    def __init__(self, world: World, job: str) -> None:
        self.tails: dict[str, Tail] = {}
        self.face: bytes | None = None
        """The newest state, as an event."""
        self.last: bytes | None = None
        """The end, as an event."""
        self._world = world
        self._job = job
        self._shown: tuple[object, ...] = ()
        self._attempt = 0
        self._streams: dict[asyncio.Event, None] = {}
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def over(self) -> bool:
        return self._task.done()

    def raise_failure(self) -> None:
        if not self._task.cancelled():
            self._task.result()

    def join(self) -> asyncio.Event:
        """It is set when there is something new, and now and then when there is not."""
        heard = asyncio.Event()
        self._streams[heard] = None
        return heard

    def leave(self, heard: asyncio.Event) -> bool:
        """Whether others are left; else nobody looks any more."""
        del self._streams[heard]
        if not self._streams:
            self._task.cancel()
        return bool(self._streams)

    async def _run(self) -> None:
        try:
            await self._look_until_the_end()
        finally:
            # once this task is done
            asyncio.get_running_loop().call_soon(lambda: [heard.set() for heard in self._streams])

    async def _look_until_the_end(self) -> None:
        changed = threading.Event()
        changed.set()
        woken, listener = self._world.wakeups.on_loop([f"log:{self._job}"])
        _, life = self._world.wakeups.on_loop([f"job:{self._job}"], woken, changed.set)
        ended = False
        try:
            while True:
                woken.clear()
                if changed.is_set():
                    changed.clear()
                    view = await to_thread.run_sync(jobs.view_of, self._world, self._job)
                    if view is None:
                        return
                    self._show(view)
                    ended = view.ended_at is not None
                if await self._grow(final=ended):
                    woken.set()
                elif ended:
                    last = await to_thread.run_sync(jobs.view_of, self._world, self._job)
                    self.last = None if last is None else event_of("end", last.model_dump_json())
                    return
                await self._tell()
                try:
                    await asyncio.wait_for(woken.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    changed.set()  # a wake-up is only a hint: look at the rows now and then
        finally:
            listener.close()
            life.close()

    def _show(self, view: JobView) -> None:
        self._attempt = view.attempt
        shown = (view.status, view.phase, view.attempt, view.status_reason, view.phase_detail, _faces(view.steps))
        if shown != self._shown:
            self._shown = shown
            self.face = event_of("job", view.model_dump_json())

    async def _grow(self, *, final: bool) -> bool:
        """Take in a piece of each file that has grown; whether there may be more."""
        fresh = await to_thread.run_sync(self._fresh)
        for log, tail, data in fresh:
            self.tails.setdefault(log.name, tail).grow(data)
        more = any(data and tail.read_to < log.size for log, tail, data in fresh)
        if final and not more:
            for tail in self.tails.values():
                tail.grow(b"", final=True)
        return more

    def _fresh(self) -> list[tuple[LogFile, Tail, bytes]]:
        found = []
        for log in logs.names(self._world, self._job, self._attempt):
            tail = self.tails.get(log.name) or Tail(log, self._read)
            if tail.read_to < log.size:
                found.append((log, tail, self._read(log, tail.read_to, logs.MOST)))
        return found

    def _read(self, log: LogFile, offset: int, most: int) -> bytes:
        return logs.read(self._world, self._job, log, offset, most)

    async def _tell(self) -> None:
        """A few streams at a time, so that who asks something else meanwhile is answered; then the loop is left to others for
        a quarter of what that took, and what comes meanwhile is told together."""
        began = time.monotonic()
        for number, heard in enumerate(list(self._streams)):
            heard.set()
            if number % TOGETHER == TOGETHER - 1:
                await asyncio.sleep(0)
        took = time.monotonic() - began
        if len(self._streams) > TOGETHER:
            await asyncio.sleep(took / 4)


async def _behind(world: World, job: str, tail: Tail, places: dict[str, Text]) -> AsyncIterator[bytes]:
    """What a stream has not yet of one file: as it is kept, or read for it alone until it has caught up."""
    place = places.setdefault(tail.log.name, Text(tail.log.name, 0))
    while place.begin < tail.end:
        kept = tail.at(place.begin) if place.begin == place.end else None
        if kept is None:
            joins = tail.joins(place.end)
            most = min(logs.MOST, joins - place.end)
            data = await to_thread.run_sync(logs.read, world, job, tail.log, place.end, most)
            kept = place.event(data, final=place.end + len(data) >= joins)
            if not data:
                return
        else:
            place.begin = place.end = kept.after
        if kept is not None:
            yield kept.event


def _faces(steps: list[StepView]) -> tuple[object, ...]:
    return tuple((one.name, one.status, one.phase, one.phase_detail, _faces(one.steps)) for one in steps)
