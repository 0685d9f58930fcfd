"""Where things lie on a node: paths, and the few calls that touch the disk."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mayfly.node.disk import read_json
from mayfly.wire.agent import Assignment, Fence


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """`<state>/nodes/<node id>/`, 0700. `node.json` is written by whoever made the node and never changes."""

    root: Path
    node: str
    token: str
    state: Path
    cache: Path
    orphan_s: float | None

    @classmethod
    def load(cls, root: Path) -> NodeFolder:
        """Raises FileNotFoundError or KeyError when this is no node folder."""
        told = read_json(root / "node.json")
        if told is None:
            raise FileNotFoundError(f"'{root / 'node.json'}' is not there or not whole.")
        return cls(
            root=root.absolute(),
            node=told["node"],
            token=told["token"],
            state=Path(told["state_folder"]),
            cache=Path(told["cache_folder"]),
            orphan_s=told.get("orphan_s"),
        )

    @property
    def servers(self) -> Path:
        """Where servers say how they are found."""
        return self.state / "servers"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def mounts(self) -> Path:
        """Where streamed inputs are mounted, a folder for each attempt; beside the attempts, whose folders are walked and
        removed."""
        return self.root / "mounts"

    @property
    def contact(self) -> Path:
        return self.root / "contact.json"

    @property
    def lock(self) -> Path:
        return self.root / "node.lock"

    def attempt(self, fence: Fence) -> AttemptFolder:
        return AttemptFolder(self.attempts / f"{fence.job}-{fence.attempt}")


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    root: Path

    @property
    def code(self) -> Path:
        """The working directory of the command; `outputs/` and `logs/` in it are there from the start."""
        return self.root / "code"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def venv(self) -> Path:
        """The private writable layer above the cached environment: what an overlay writes to, or an environment in front
        of it (`node.layer`)."""
        return self.root / "venv"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @property
    def logs(self) -> Path:
        return self.root / "user_logs"

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    def record(self, name: str) -> Path:
        """A step's own file: 'assignment', 'materialised', 'ready', 'group', 'go', 'launch', 'stop', 'orphaned', 'exited',
        'collected'."""
        return self.root / f"{name}.json"

    def process(self, index: int) -> Path:
        return self.root / f"process-{index}.json"

    @property
    def taken(self) -> Path:
        """The process file of the one process, where it is an interpreter that was made ahead."""
        return self.root / "taken.json"

    def pids(self, index: int) -> Path:
        return self.root / f"pids-{index}.json"

    def exit(self, index: int) -> Path:
        return self.root / f"exit-{index}.json"

    def supervisor_lock(self, index: int) -> Path:
        return self.root / f"supervisor-{index}.lock"

    @property
    def mount_lock(self) -> Path:
        """Held while the server of its streamed inputs lives."""
        return self.root / "mount.lock"

    @property
    def pins(self) -> Path:
        """Names what of the cache this attempt uses."""
        return self.root / "pins"

    @property
    def writable(self) -> tuple[Path, ...]:
        """What the job may write."""
        return (self.code, self.home, self.tmp, self.venv, self.outputs)

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.home, self.tmp, self.inputs, self.outputs, self.logs, self.etc):
            folder.mkdir(exist_ok=True, mode=0o755)

    def own(self, uid: int, more: Iterable[Path] = ()) -> None:
        """Give the writable folders, and `more`, to the job's user."""
        for folder in (*self.writable, *more):
            for parent, names, files in os.walk(folder):
                os.chown(parent, uid, uid)
                for name in [*names, *files]:
                    os.chown(os.path.join(parent, name), uid, uid, follow_symlinks=False)  # noqa: PTH118


_GET_FLAGS, _SET_FLAGS, _TOP = 0x80086601, 0x40086602, 0x00020000
"""Linux: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL."""


def keep_apart(folder: Path) -> None:
    """Have the file system lay each folder that is made in this one somewhere else, as `chattr +T` does, where it can. ext4 looks at
    all that was lately deleted near a folder for each file that it makes there: after a thousand small jobs that takes a
    hundred times as long as the making."""
    if sys.platform != "linux" or struct.calcsize("l") != 8:
        return
    with suppress(OSError):  # a file system that knows no such thing
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = struct.unpack("l", fcntl.ioctl(handle, _GET_FLAGS, bytes(8)))[0]
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("l", flags | _TOP))
        finally:
            os.close(handle)


def load(folder: AttemptFolder) -> Assignment | None:
    """The assignment of an attempt found on the disk; None when it was never wholly there."""
    try:
        return msgspec.json.decode(folder.record("assignment").read_bytes(), type=Assignment)
    except (OSError, msgspec.MsgspecError):
        return None
