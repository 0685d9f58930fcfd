"""The agent's side of streamed inputs: starts an attempt's mount server, finds it again, and ends it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from mayfly.kit.errors import Broken
from mayfly.node.disk import read_json, write_json, write_whole
from mayfly.node.folders import AttemptFolder, NodeFolder
from mayfly.node.processes import boot_id, is_running, send, start_time
from mayfly.node.sources import Source
from mayfly.transfer.locks import held
from mayfly.transfer.unmounting import mounts_below, unmount_below
from mayfly.wire.agent import Fence

PATIENCE_S = 20.0


def missing() -> str:
    """Why nothing can be mounted here; '' when it can be tried."""
    if sys.platform != "linux":
        return "this system has no FUSE for it"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not there for this user"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is not installed"
    if importlib.util.find_spec("mfusepy") is None:
        return "the package mfusepy is not installed"
    return ""


class Mount:
    """The mount of one attempt. Calls may be repeated, also by another agent."""

    def __init__(self, node: NodeFolder, folder: AttemptFolder) -> None:
        self._folder = folder
        self.place = node.mounts / folder.root.name
        self._process: subprocess.Popen[bytes] | None = None

    def lives(self) -> bool:
        """Whether its server runs; one that died leaves an I/O error for every reader."""
        return held(self._folder.mount_lock)

    def serve(
        self, fence: Fence, inputs: Mapping[str, tuple[Path, Source]], keep: tuple[int, ...], check: Callable[[], None]
    ) -> None:
        """Have every input's folder stand below `place`. `inputs`: name → (its listing, its source). Raises Broken
        `MountFailed`, and what `check` raises."""
        if self.lives() and self._mounted():
            return
        self.end()
        self.place.mkdir(parents=True, exist_ok=True, mode=0o755)
        told = {
            "place": str(self.place),
            "fence": fence,
            "inputs": {name: (str(record), source.identity) for name, (record, source) in inputs.items()},
            "at_ns": time.time_ns(),
        }
        write_whole(self._folder.record("mount"), msgspec.json.encode(told))
        words = self._folder.root / "mount.err"
        with words.open("wb") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mayfly.main.node", "--mount", str(self._folder.root)],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                pass_fds=keep,
                start_new_session=True,
                cwd="/",
            )
        pid = self._process.pid
        write_json(self._folder.record("mount-pid"), [boot_id(), pid, start_time(pid)])
        deadline = time.monotonic() + PATIENCE_S
        while not self._mounted():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end()
                said = words.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise Broken("MountFailed", said[-1][:300] if said else "the mount did not come up")
            check()
            time.sleep(0.01)

    def faults(self) -> list[str]:
        """What its readers met: one sentence for each input."""
        found = list((read_json(self._folder.record("mount-faults")) or {}).values())
        if self._folder.record("mount").exists() and not self.lives():
            found.append("The server of the streamed inputs died; reading them gave I/O errors from then on.")
        return found

    def end(self) -> None:
        """Detach it and end its server, where it ever had a place."""
        try:
            self.place.lstat()
        except FileNotFoundError:
            return
        except OSError:
            pass  # its server is dead
        unmount_below(self.place)
        record = self._folder.record("mount-pid")
        boot, pid, started = read_json(record) or ("", 0, 0)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        elif boot == boot_id() and is_running(pid, started):
            send(pid, 9)
        record.unlink(missing_ok=True)
        self._folder.record("mount").unlink(missing_ok=True)
        unmount_below(self.place)
        with suppress(OSError):
            self.place.rmdir()

    def _mounted(self) -> bool:
        return self.place.resolve() in mounts_below(self.place)


def sweep(node: NodeFolder) -> None:
    """Detach the mounts of attempts that are no more."""
    if not node.mounts.is_dir():
        return
    for place in node.mounts.iterdir():
        if not (node.attempts / place.name).is_dir():
            unmount_below(place)
            with suppress(OSError):
                place.rmdir()
