"""A job as it happens: server-sent events, woken by the rows and the log bytes."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from anyio import to_thread

from mayfly.services import jobs, logs
from mayfly.services.world import World
from mayfly.wire.mayfly import StepView

KEEP_ALIVE_S = 10.0


@dataclass(slots=True)
class _Reader:
    """One log file of the stream. A character whose bytes have not all come waits for the rest."""

    offset: int
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))

    def event(self, name: str, data: bytes, *, final: bool) -> bytes | None:
        begin = self.offset - len(self.decoder.getstate()[0])
        text = self.decoder.decode(data, final)
        self.offset += len(data)
        if not text:
            return None
        after = self.offset - len(self.decoder.getstate()[0])
        return _event("log", json.dumps({"file": name, "offset": begin, "next": after, "text": text}))


async def follow(world: World, job: str, offsets: dict[str, int]) -> AsyncIterator[bytes]:
    """Events until the job has ended and its log was sent; the client may go away at any time."""
    woken, listener = world.wakeups.on_loop([f"job:{job}", f"log:{job}"])
    changed, life = world.wakeups.on_loop([f"job:{job}"])
    grown, growth = world.wakeups.on_loop([f"log:{job}"])
    changed.set()
    grown.set()
    readers = {name: _Reader(offset) for name, offset in offsets.items()}
    shown: tuple[object, ...] = ()
    ended = False
    try:
        while True:
            woken.clear()
            if changed.is_set():
                changed.clear()
                view = await to_thread.run_sync(jobs.view_of, world, job)
                if view is None:
                    return
                ended = view.ended_at is not None
                face = (
                    view.status,
                    view.phase,
                    view.attempt,
                    view.status_reason,
                    view.phase_detail,
                    _faces(view.steps),
                )
                if face != shown:
                    shown = face
                    yield _event("job", view.model_dump_json())
            if grown.is_set() or ended:
                grown.clear()
                async for event in _logs(world, job, readers, final=ended):
                    yield event
            if ended:
                last = await to_thread.run_sync(jobs.view_of, world, job)
                if last is not None:
                    yield _event("end", last.model_dump_json())
                return
            try:
                await asyncio.wait_for(woken.wait(), KEEP_ALIVE_S)
            except TimeoutError:
                changed.set()  # a wake-up is only a hint: look at rows and logs now and then
                grown.set()
                yield b": still here\n\n"
    finally:
        listener.close()
        life.close()
        growth.close()


def _faces(steps: list[StepView]) -> tuple[object, ...]:
    return tuple((one.name, one.status, one.phase, one.phase_detail, _faces(one.steps)) for one in steps)


async def _logs(world: World, job: str, readers: dict[str, _Reader], *, final: bool) -> AsyncIterator[bytes]:
    for log in await to_thread.run_sync(logs.files, world, job):
        reader = readers.setdefault(log.name, _Reader(0))
        while reader.offset < log.size:
            data = await to_thread.run_sync(logs.read, world, job, log, reader.offset)
            if not data:
                break
            event = reader.event(log.name, data, final=False)
            if event is not None:
                yield event
        if final:
            event = reader.event(log.name, b"", final=True)
            if event is not None:
                yield event


def _event(kind: str, data: str) -> bytes:
    return f"event: {kind}\ndata: {data}\n\n".encode()
