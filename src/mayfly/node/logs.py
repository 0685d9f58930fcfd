"""Log files on their way to the server, as they grow. The file is the truth; the server says how much it has."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mayfly.kit.errors import Broken, Unavailable
from mayfly.node.disk import read_json
from mayfly.node.server import Server
from mayfly.wire.agent import Fence

_BATCH = 1 << 20
_IN_MODIFY, _IN_CREATE, _IN_CLOSE_WRITE = 0x2, 0x100, 0x8


@dataclass(frozen=True, slots=True)
class LogFile:
    """One log as the server gets it: the file up to the cap, then a line that says where it was cut."""

    name: str
    path: Path
    cap: int

    @property
    def mark(self) -> bytes:
        return f"\n[mayfly: the log was cut here, at its limit of {self.cap >> 20} MiB]\n".encode()

    def size(self) -> int:
        try:
            size = self.path.stat().st_size
        except OSError:
            return 0
        return size if size <= self.cap else self.cap + len(self.mark)

    def read(self, offset: int) -> bytes:
        """At most a batch from there."""
        if offset >= self.cap:
            return self.mark[offset - self.cap :] if self.size() > self.cap else b""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(min(_BATCH, self.cap - offset))


class Growth:
    """Tells when a file in a folder has grown: by inotify, else by looking every 50 ms."""

    def __init__(self, folder: Path) -> None:
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._inotify = _watch(folder)

    def wait(self, timeout_s: float | None) -> None:
        """Until something grew, `wake` was called or the time is over. May return for nothing."""
        descriptors = [self._wake_read]
        if self._inotify >= 0:
            descriptors.append(self._inotify)
        else:
            timeout_s = 0.05
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _event in poller.poll(None if timeout_s is None else timeout_s * 1000):
            with suppress(OSError):
                os.read(descriptor, 65536)

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        for descriptor in (self._wake_read, self._wake_write, self._inotify):
            if descriptor >= 0:
                os.close(descriptor)


class LogShipper:
    """A thread for one attempt. Bytes go in order, from the offset that the server acknowledged last; a batch that is
    not acknowledged is sent again, so there is no gap and no doubled line whoever dies."""

    def __init__(self, server: Server, fence: Fence, rank: int, folder: Path, memory: Path) -> None:
        self._server, self._fence, self._rank = server, fence, rank
        self._memory = memory
        self._growth = Growth(folder)
        self._lock = threading.Lock()
        self._files: dict[str, LogFile] = {}
        self._sent: dict[str, int] = read_json(memory) or {}
        self._finishing = False
        self._stopped = False
        self._delay = 0.0
        self.done = threading.Event()
        """Set when every byte of every file was acknowledged after `finish`, or the shipper was stopped."""
        self._thread = threading.Thread(target=self._run, name=f"logs-{fence.job}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, file: LogFile) -> None:
        with self._lock:
            self._files[file.name] = file
        self._growth.wake()

    def finish(self) -> None:
        """Nothing is written any more: send what is left, then set `done`."""
        self._finishing = True
        self._growth.wake()

    def stop(self) -> None:
        """Give up what was not sent."""
        self._stopped = True
        self._growth.wake()
        self._thread.join(35)

    def sizes(self) -> dict[str, int]:
        with self._lock:
            return {name: self._sent.get(name, 0) for name in self._files}

    def _run(self) -> None:
        try:
            while not self._stopped:
                finishing = self._finishing
                behind = self._ship()
                if finishing and not behind:
                    break
                if behind:
                    self._growth.wait(self._delay)
                elif not self._finishing:
                    self._growth.wait(None)
        finally:
            self._growth.close()
            self._server.done()
            self.done.set()

    def _ship(self) -> bool:
        """Send a batch of every file that grew. True while something is left to send."""
        with self._lock:
            files = list(self._files.values())
        behind = False
        for file in files:
            offset = self._sent.get(file.name, 0)
            while not self._stopped and offset < file.size():
                try:
                    had = self._server.log(self._fence, self._rank, file.name, offset, file.read(offset))
                except (Unavailable, Broken, OSError):
                    had = offset
                if had == offset:
                    self._delay = min(1.0, max(0.02, self._delay * 1.6))
                    behind = True
                    break
                self._delay = 0.0
                self._sent[file.name] = offset = had
                self._remember()
        return behind

    def _remember(self) -> None:
        part = self._memory.with_suffix(".part")
        with suppress(OSError):
            part.write_text(_dump(self._sent), encoding="utf-8")
            part.replace(self._memory)


def _dump(sent: dict[str, int]) -> str:
    return "{" + ",".join(f'"{name}":{size}' for name, size in sent.items()) + "}"


def _watch(folder: Path) -> int:
    """An inotify descriptor for changes in this folder; -1 where there is none."""
    if sys.platform != "linux":
        return -1
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        return -1
    mask = struct.unpack("I", struct.pack("I", _IN_MODIFY | _IN_CREATE | _IN_CLOSE_WRITE))[0]
    if library.inotify_add_watch(descriptor, os.fsencode(folder), mask) < 0:
        os.close(descriptor)
        return -1
    return descriptor
