"""While a job runs, what lies in its outputs is brought to the server now and then, so that the next attempt can begin
with it if this one's node is lost (semantics §8)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from mayfly.kit.errors import MayflyError, Unavailable
from mayfly.node.collect import ARTIFACTS, DEFAULT, Receiver, artifacts, manifest, named
from mayfly.node.disk import read_json, write_json
from mayfly.node.folders import AttemptFolder
from mayfly.node.sampling import PERIOD_S
from mayfly.node.steps import passing
from mayfly.transfer.stats import StatCache
from mayfly.transfer.trees import Scan
from mayfly.wire.agent import Assignment, NamedOutput, OutputManifest, Tree, TreeEntry

FIRST_S = 10.0
SHARE = 0.01
"""Of the time, at most so much is spent on checkpoints."""


@dataclass(frozen=True, slots=True)
class Pace:
    first_s: float = FIRST_S
    share: float = SHARE

    def next_s(self, cost_s: float) -> float:
        return max(self.first_s, cost_s / self.share - cost_s)


class Checkpoints:
    """From `start` to `stop`; one thread, which begins shortly before the first is due. `tell` hears the outputs each time they have
    changed and all their bytes are on the server; after a restart of the agent, the last ones again."""

    def __init__(
        self,
        assignment: Assignment,
        folder: AttemptFolder,
        server: Receiver,
        tell: Callable[[tuple[OutputManifest, ...]], None],
        pace: Pace,
    ) -> None:
        self._assignment, self._folder, self._server = assignment, folder, server
        self._tell, self._pace = tell, pace
        self._record, self._stats = folder.record("checkpoint"), folder.record("checkpoint-stats")
        self._known: dict[str, dict[str, TreeEntry]] = {}
        """Output → path → the entry that the server has."""
        self._changed = threading.Condition()
        self._asked, self._stopped = False, False
        self._idle = threading.Event()
        self._began, self._since = False, 0.0
        self._thread = threading.Thread(target=self._run, name=f"checkpoints-{assignment.fence.job}", daemon=True)

    def start(self) -> None:
        """Whoever calls this calls `look` each `sampling.PERIOD_S` from then on."""
        self._since = time.monotonic()
        if self._pace.first_s <= PERIOD_S or self._record.exists():
            self._begin()

    def look(self) -> None:
        if time.monotonic() - self._since >= self._pace.first_s - PERIOD_S:
            self._begin()

    def _begin(self) -> None:
        with self._changed:
            if not self._began and not self._stopped:
                self._began = True
                self._thread.start()

    def now(self) -> threading.Event:
        """Make one at once: what comes next may be the end. The event is set when it is done or cannot be."""
        with self._changed:
            self._asked = True
            self._idle.clear()
            self._changed.notify_all()
        self._begin()
        return self._idle

    def stop(self) -> None:
        """No more are begun; returns when the last is over."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        told = read_json(self._record)
        if told is not None:
            self._tell(tuple(msgspec.convert(told, list[OutputManifest])))
        wait_s = self._pace.first_s - (time.monotonic() - self._since)
        while self._sleep(wait_s):
            began = time.monotonic()
            try:
                self._make()
            except (MayflyError, OSError):
                pass  # the server is away, or a file vanished: the next one may succeed
            wait_s = self._pace.next_s(time.monotonic() - began)
            self._idle.set()
        self._idle.set()

    def _sleep(self, wait_s: float) -> bool:
        """Whether to make another one, after `wait_s` or when asked."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            while not self._asked and not self._stopped and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            self._asked = False
            return not self._stopped

    def _make(self) -> None:
        cache = StatCache(self._stats)
        scans = [
            (DEFAULT, artifacts(self._folder, cache, user_logs=False)),
            *named(self._assignment, self._folder, cache, _is_mounted),
        ]
        cache.save()
        found = []
        for name, scan in scans:
            whole = self._send(name, self._mended(name, scan, frozenset()))
            found.append(manifest(name, whole))
            self._known[name] = {entry.path: entry for entry in whole.tree.entries}
        told = [msgspec.to_builtins(one) for one in found]
        passing("checkpoint-sent")
        before = read_json(self._record)
        nothing = before is None and not self._assignment.restore and not any(one.files for one in found)
        if told != before and not nothing:
            write_json(self._record, told)
            passing("checkpointed")
            self._tell(tuple(found))

    def _send(self, name: str, scan: Scan) -> Scan:
        """Bring it to the server; what is there now. A file that changes all the time is there as it last was."""
        while not self._stopped:
            refused: set[str] = set()
            self._server.upload(scan, refused)
            if not refused:
                return scan
            scan = self._mended(name, scan, refused)
        raise Unavailable("Stopped", "The job has ended.")

    def _mended(self, name: str, scan: Scan, refused: frozenset[str] | set[str]) -> Scan:
        """Without the files that could not be read whole, or with what the server has of them."""
        known = self._known.get(name, {})
        entries = {entry.path: entry for entry in scan.tree.entries if entry.digest not in refused}
        gone = {entry.path for entry in scan.tree.entries if entry.digest in refused}
        gone |= {path for path in known if any(lost.startswith(f"'{path}' ") for lost in scan.lost)}
        entries |= {path: known[path] for path in gone if path in known and known[path].digest not in refused}
        tree = Tree(entries=tuple(sorted(entries.values(), key=lambda entry: entry.path)))
        return replace(scan, tree=tree, total_bytes=sum(entry.size for entry in tree.entries), lost=())


def _is_mounted(output: NamedOutput) -> bool:
    return output.mode == "rw_mount" and output.name != ARTIFACTS
