"""The FUSE server of one attempt: its inputs as folders of remote files, read-only, streamed as they are read.

A process of its own, in a session of its own: the agent may die and come back meanwhile. It finds the server through the
node's folder as the agent does; while the server is away reads wait, and a reader that is killed or interrupted stops
waiting. It ends when its mount is detached, when its attempt's folder is gone, or when nothing else of the node lives.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mfusepy
import msgspec

from mayfly.kit.errors import Unavailable
from mayfly.node.blocks import BlockCache, CalledOff, Changed, GivenUp, Reader, Remote
from mayfly.node.disk import write_json
from mayfly.node.folders import AttemptFolder, NodeFolder
from mayfly.node.server import Server
from mayfly.node.sources import RESERVE, TRIES, Source
from mayfly.transfer.locks import held
from mayfly.transfer.unmounting import unmount_below
from mayfly.wire.agent import DataEntry, DataListing, Fence

THREADS = 32
ALONE_S = 15.0
"""How long it outlives the watchdog, the agent and every supervisor of its attempt."""
_TICK_S = 1.0
_LIMIT = 16 << 30
_FOREVER_S = 86400.0


class MountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent tells a mount server; kept in the attempt's folder."""

    place: str
    fence: Fence
    inputs: dict[str, tuple[str, str]]
    """Input name → (where its listing is kept, the address that names it)."""
    at_ns: int


class Tree(mfusepy.Operations):
    """The file system: one folder for each input."""

    use_ns = True

    def __init__(self, at_ns: int, called_off: Callable[[], bool], failed: Callable[[str, str], None]) -> None:
        self._at_ns, self._called_off, self._failed = at_ns, called_off, failed
        self._folders: dict[str, list[str]] = {"/": []}
        self._files: dict[str, tuple[str, Remote]] = {}
        self._open: dict[int, tuple[str, str, Reader]] = {}
        self._lock = threading.Lock()
        self._next = 0

    def add(self, name: str, path: str, remote: Remote | None) -> None:
        """A file of an input; None: just the input's folder."""
        self._folder(f"/{name}")
        if remote is not None:
            whole = f"/{name}/{path}"
            self._folder(whole.rpartition("/")[0])
            self._folders[whole.rpartition("/")[0]].append(whole.rpartition("/")[2])
            self._files[whole] = (name, remote)

    def _folder(self, path: str) -> None:
        if path not in self._folders:
            parent, _, own = path.rpartition("/")
            self._folder(parent or "/")
            self._folders[path] = []
            self._folders[parent or "/"].append(own)

    # --- what the kernel asks -----------------------------------------------------------------------------------------

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        shared = {"st_mtime": self._at_ns, "st_ctime": self._at_ns, "st_atime": self._at_ns, "st_uid": os.getuid()}
        shared |= {"st_gid": os.getgid(), "st_blksize": 1 << 20}
        if path in self._folders:
            return shared | {"st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2, "st_size": 0, "st_blocks": 0}
        if path not in self._files:
            raise mfusepy.FuseOSError(errno.ENOENT)
        size = self._files[path][1].size
        blocks = (size + 511) // 512
        return shared | {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": size, "st_blocks": blocks}

    def readdir(self, path: str, fh: int) -> list[str]:
        if path not in self._folders:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return [".", "..", *self._folders[path]]

    def open(self, path: str, flags: int) -> int:
        if path not in self._files:
            raise mfusepy.FuseOSError(errno.ENOENT)
        name, remote = self._files[path]
        with self._lock:
            self._next += 1
            self._open[self._next] = (name, path, Reader(remote))
            return self._next

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._open.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        name, whole, reader = self._open[fh]
        try:
            return reader.read(offset, size, self._called_off)
        except CalledOff:
            raise mfusepy.FuseOSError(errno.EINTR) from None
        except Changed as error:
            self._failed(name, f"Input '{name}': '{whole.partition('/')[2]}' changed while it was read.")
            raise mfusepy.FuseOSError(errno.ESTALE) from error
        except GivenUp as error:
            self._failed(name, f"Input '{name}' could not be read: {error}")
            raise mfusepy.FuseOSError(errno.EIO) from error

    def statfs(self, path: str) -> dict[str, int]:
        size = sum(remote.size for _, remote in self._files.values()) >> 12
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": size, "f_namemax": 255}


def patient(
    server: Server, source: Source, entry: DataEntry, stop: threading.Event
) -> Callable[[int, int], Iterator[bytes]]:
    """A `blocks.Fetch` that takes a broken transfer up where it broke, and waits while the server is away."""

    def fetch(offset: int, length: int) -> Iterator[bytes]:
        failed, delay = 0, 0.05
        while length > 0:
            before = offset
            try:
                for chunk in server.read(source.fence, source.name, entry, offset, length, source.asked):
                    offset, length = offset + len(chunk), length - len(chunk)
                    yield chunk
            except Unavailable as error:
                failed = 0 if offset > before else failed + (error.code != "ServerAway")
                delay = 0.05 if offset > before else min(delay * 1.6, 5.0)
                if failed >= TRIES or stop.wait(delay):
                    raise

    return fetch


def serve(folder: Path, node: NodeFolder) -> int:
    """Until the mount is gone. `folder` is the attempt's."""
    attempt = AttemptFolder(folder)
    plan = msgspec.json.decode(attempt.record("mount").read_bytes(), type=MountPlan)
    lock = os.open(attempt.mount_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    server, stop = Server(node), threading.Event()
    blocks = node.cache / "blocks"
    blocks.mkdir(parents=True, exist_ok=True)
    space = os.statvfs(blocks)
    cache = BlockCache(blocks, min(_LIMIT, space.f_blocks * space.f_frsize // 10), RESERVE)
    tree = Tree(plan.at_ns, _interrupted, _Complaints(attempt).note)
    with ThreadPoolExecutor(8, thread_name_prefix="fetch") as pool:
        for name, (record, identity) in plan.inputs.items():
            entries = msgspec.json.decode(Path(record).read_bytes(), type=DataListing).entries
            source = Source(plan.fence, name, "", identity, entries)
            tree.add(name, "", None)
            for entry in entries:
                fetch = patient(server, source, entry, stop)
                tree.add(name, entry.path, Remote(source.entry_key(entry), entry.size, cache, pool, fetch))
        threading.Thread(target=_guard, args=(plan, attempt, node), name="guard", daemon=True).start()
        options: dict[str, Any] = {"max_threads": THREADS} if _threads_bounded() else {}
        if os.geteuid() == 0:
            options["allow_other"] = True
        try:
            mfusepy.FUSE(
                tree,
                plan.place,
                foreground=True,
                ro=True,
                fsname="mayfly",
                subtype="mayfly",
                kernel_cache=True,
                attr_timeout=_FOREVER_S,
                entry_timeout=_FOREVER_S,
                **options,
            )
        finally:
            stop.set()
            os._exit(0)  # threads may still wait for bytes that nobody wants any more


class _Complaints:
    """What went wrong with an input, once each, where the agent will find it."""

    def __init__(self, attempt: AttemptFolder) -> None:
        self._attempt, self._told, self._lock = attempt, dict[str, str](), threading.Lock()

    def note(self, name: str, words: str) -> None:
        with self._lock:
            if name not in self._told:
                self._told[name] = words
                write_json(self._attempt.record("mount-faults"), self._told)


def _interrupted() -> bool:
    """Whether the reader that this thread serves has been killed or interrupted."""
    return bool(mfusepy._libfuse.fuse_interrupted())


def _threads_bounded() -> bool:
    """libfuse 3.12 serves with ten threads unless told otherwise; before, with as many as there are requests."""
    return (mfusepy.fuse_version_major, mfusepy.fuse_version_minor) >= (3, 12)


def _guard(plan: MountPlan, attempt: AttemptFolder, node: NodeFolder) -> None:
    seen = time.monotonic()
    while attempt.record("mount").exists() and time.monotonic() - seen < ALONE_S:
        locks = [node.root / "watchdog.lock", node.root / "agent.lock", *attempt.root.glob("supervisor-*.lock")]
        if any(held(lock) for lock in locks):
            seen = time.monotonic()
        time.sleep(_TICK_S)
    unmount_below(Path(plan.place))
    time.sleep(5.0)
    os._exit(0)


def main(folder: Path) -> int:
    """`folder`: the attempt's, below its node's."""
    os.umask(0o022)
    sys.setswitchinterval(0.001)
    return serve(folder, NodeFolder.load(folder.parent.parent))
