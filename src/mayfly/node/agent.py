"""The agent: hears what the server wishes of this node and makes it so. Its death costs a job nothing."""

from __future__ import annotations

import fcntl
import os
import platform
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mayfly import __version__
from mayfly.kit.errors import Broken, Unavailable
from mayfly.node import limits, sampling, sandbox
from mayfly.node.ahead import Ahead
from mayfly.node.attempt import Attempt
from mayfly.node.checkpoints import Pace
from mayfly.node.environments import Environments
from mayfly.node.folders import AttemptFolder, NodeFolder, keep_apart, load
from mayfly.node.gateway import Gateway, Speaker
from mayfly.node.images import Images
from mayfly.node.mounts import sweep
from mayfly.node.nursery import Nursery
from mayfly.node.processes import boot_id
from mayfly.node.reporter import Reporter
from mayfly.node.server import Server, Stopped, persistently
from mayfly.node.workplace import Workplace
from mayfly.transfer.removal import remove_tree
from mayfly.wire import agent as wire
from mayfly.wire.agent import Fence, Hello, Wish, Wishes

DONE = 0
"""Exit status: nothing is left to do here; the watchdog ends too."""


TOUCH_S = 0.25
"""So much earlier than it might a node may end that has lost its server."""
EVICTION_S = 20.0
"""How long a machine is usually left after it was told to go; clouds give 30 s."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen when an agent is started by hand or by a test."""

    forbidden: tuple[str, ...] = ()
    """Sandbox strategies not to use; 'fuse': mount nothing."""
    wait_s: float = 2.0
    grace_s: float | None = None
    checkpoint_s: float | None = None
    """How long after the start the first checkpoint is made."""
    keep: tuple[int, ...] = ()


class Agent:
    """`run` returns when the server wishes the node to end and it holds nothing."""

    def __init__(self, folder: NodeFolder, now: Callable[[], int], settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        folder.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.attempts.mkdir(exist_ok=True, mode=0o700)
        keep_apart(folder.attempts)
        self._server = Server(folder)
        self._lock = threading.RLock()
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._over: set[Fence] = set()
        """What was discarded here: it is not begun again, whatever an answer says that was long on its way."""
        self._version = -1
        self._node_wish = "keep"
        self._ended = threading.Event()
        self._greeted = False
        self._orphan_s = folder.orphan_s
        self._touched: tuple[float, float | None, str] = (-TOUCH_S, None, "")
        self._address = "127.0.0.1"
        self._reporter = Reporter(self._server, self._hear)
        self._gateway = Gateway(self._server, folder.root / "gateway.json", self._whose)
        strategy = sandbox.probe(forbidden=settings.forbidden, cache=folder.cache)
        environments = Environments(folder.cache, overlays=strategy.overlays)
        nursery = Nursery(folder.root, sandbox.ground() if strategy.name == "namespaces" else ())
        machine = limits.probe()
        self._around = Workplace(
            node=folder,
            server=self._server,
            reporter=self._reporter,
            environments=environments,
            images=Images(folder.cache, overlays=strategy.overlays),
            strategy=strategy,
            machine=machine,
            nursery=nursery,
            ahead=Ahead(folder, nursery, environments, machine, strategy, settings.forbidden),
            now=now,
            tracking_uri=lambda: self._gateway.url,
            address=lambda: self._address,
            keep=settings.keep,
            variables=dict(os.environ),
        )
        if "fuse" in settings.forbidden:
            self._around.cannot_mount = "mounting was forbidden"
        if settings.checkpoint_s is not None:
            self._around.pace = Pace(first_s=settings.checkpoint_s)
        if settings.grace_s is not None:
            self._around.grace_s = settings.grace_s

    def run(self) -> int:
        with suppress(OSError):
            remove_tree(self._folder.trash)
        sweep(self._folder)
        self._around.ahead.tidy()
        self._around.nursery.open()
        adopted = self._adopt()
        self._gateway.start()  # it knows them by now: their processes may be calling
        self._reporter.start()
        for attempt in adopted:
            attempt.start()
        threading.Thread(target=self._sample, name="sampling", daemon=True).start()
        threading.Thread(target=self._listen, name="wishes", daemon=True).start()
        self._ended.wait()
        self._reporter.drain(10.0)
        self._gateway.stop()
        self._reporter.stop()
        self._around.ahead.close()
        self._around.environments.close()
        self._around.nursery.close()
        return DONE

    def evicted(self) -> None:
        """The machine is about to be taken away: save what the jobs have in their outputs. They go on running."""
        with self._lock:
            attempts = list(self._attempts.values())
        for saved in [attempt.checkpoint() for attempt in attempts]:
            if saved is not None:
                saved.wait(EVICTION_S)
        self._reporter.drain(EVICTION_S)

    # --- the server -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                if not self._greeted or not self._server.greeted:
                    persistently(self._greet, self._ended)
                wishes = self._server.wishes(self._version, self._settings.wait_s)
            except Unavailable:
                self._greeted = False
                continue
            except Stopped:
                return
            except Broken:
                self._ended.wait(1.0)
                continue
            self._touch()
            self._hear(wishes)

    def _greet(self) -> None:
        with self._lock:
            fences = tuple(attempt.fence for attempt in self._attempts.values())
        self._address = self._server.address()
        try:
            welcome = self._server.hello(self._hello(fences))
        except Broken as error:
            raise Unavailable("ServerRefused", error.message) from error
        self._orphan_s = welcome.orphan_s
        self._version = -1
        self._greeted = True
        (self._folder.root / "greeted").touch()
        self._touch()

    def _hello(self, fences: tuple[Fence, ...]) -> Hello:
        return Hello(
            node=self._folder.node,
            protocols=wire.SUPPORTED,
            version=__version__,
            boot_id=boot_id(),
            address=self._address,
            isolation=self._around.strategy.name,
            limits=self._around.machine.holding,
            attempts=fences,
        )

    def _touch(self) -> None:
        """Tell the watchdog that the server was there; by a clock that stops in suspend. Not at every word: to replace a file a
        hundred times takes longer than to hear that many."""
        now, told = time.monotonic(), (self._orphan_s, boot_id())
        if told == self._touched[1:] and now - self._touched[0] < TOUCH_S:
            return
        self._touched = (now, *told)
        part = self._folder.contact.with_suffix(".part")
        part.write_text(
            f'{{"monotonic_ns":{time.monotonic_ns()},"boot_id":"{boot_id()}",'
            f'"orphan_s":{"null" if self._orphan_s is None else self._orphan_s}}}',
            encoding="ascii",
        )
        part.replace(self._folder.contact)

    # --- wishes ---------------------------------------------------------------------------------------------------

    def _hear(self, wishes: Wishes) -> None:
        """Level-triggered: older versions than the last are ignored, repetitions change nothing."""
        with self._lock:
            if wishes.unknown:
                self._forsaken()
                return
            if wishes.version < self._version:
                return
            self._version = wishes.version
            self._node_wish = wishes.node
            for wish in wishes.attempts:
                self._wish(wish)
            self._maybe_end()

    def _wish(self, wish: Wish) -> None:
        key = (wish.fence.job, wish.fence.attempt)
        attempt = self._attempts.get(key)
        if attempt is None:
            if wish.action == "discard":
                self._reporter.send(wire.Released(fence=wish.fence, rank=0, at=self._around.now()))
                return
            if wish.assignment is None or wish.fence in self._over:
                return
            attempt = self._attempts[key] = Attempt(wish.assignment, self._around, self._gone)
            attempt.wish(wish)
            attempt.start()
            return
        attempt.wish(wish)

    def _forsaken(self) -> None:
        """The server does not know this node: end all it has, then itself."""
        self._node_wish = "end"
        for attempt in list(self._attempts.values()):
            attempt.wish(Wish(fence=attempt.fence, action="discard"))
        self._maybe_end()

    def _gone(self, fence: Fence) -> None:
        with self._lock:
            self._attempts.pop((fence.job, fence.attempt), None)
            self._over.add(fence)
            self._maybe_end()
            if not self._attempts:
                self._around.ahead.rest()

    def _maybe_end(self) -> None:
        if self._node_wish in ("end", "drain") and not self._attempts:
            self._ended.set()

    # --- its own ----------------------------------------------------------------------------------------------------

    def _adopt(self) -> list[Attempt]:
        """Every attempt that is on the disk, to be taken up again."""
        for place in sorted(self._folder.attempts.iterdir()):
            assignment = load(AttemptFolder(place))
            if assignment is None:
                with suppress(OSError):
                    remove_tree(place)  # the server still wishes it, if it does
                continue
            fence = assignment.fence
            self._attempts[(fence.job, fence.attempt)] = Attempt(assignment, self._around, self._gone)
        return list(self._attempts.values())

    def _whose(self, token: str) -> Speaker | None:
        with self._lock:
            attempt = next((one for one in self._attempts.values() if one.token == token), None)
        if attempt is None or not attempt.opened() or attempt.journal is None:
            return None
        return Speaker(attempt.fence, attempt.journal)

    def _sample(self) -> None:
        while not self._ended.wait(sampling.PERIOD_S):
            with self._lock:
                if (self._folder.root / "delete").exists():  # the provider's polite word, heard without the server too
                    self._node_wish = "end"
                    self._maybe_end()
                attempts = [attempt for attempt in self._attempts.values() if attempt.running]
            self._around.ahead.look()
            for attempt in attempts:
                with suppress(OSError):  # it ended just now
                    attempt.sample()


def main(folder: Path, now: Callable[[], int], settings: Settings) -> int:
    """Run an agent for this node folder until the node ends."""
    if platform.system() == "Windows":
        raise SystemExit("A node needs a POSIX system.")
    os.umask(0o022)
    node = NodeFolder.load(folder)
    # An agent that outlived its watchdog is still at work: wait for its end, then take over what it leaves.
    lock = os.open(node.root / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        agent = Agent(node, now, settings)

        def leave() -> None:
            try:
                agent.evicted()
            finally:
                os._exit(128 + signal.SIGTERM)

        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=leave, daemon=True).start())
        return agent.run()
    finally:
        os.close(lock)
