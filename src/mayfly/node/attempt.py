"""One attempt on this node, from its assignment to its release. A thread walks it down the persisted steps; what a
step found out is on the disk before it is reported, so a restarted agent walks the same way over the same files."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import msgspec

from mayfly.kit.errors import MayflyError, Unavailable
from mayfly.node import plan
from mayfly.node.checkpoints import Checkpoints
from mayfly.node.collect import Collected, collect
from mayfly.node.disk import read_json, write_json, write_whole
from mayfly.node.journal import Journal
from mayfly.node.launch import Ending
from mayfly.node.logs import LogFile, LogShipper
from mayfly.node.materialise import Materialised, Means, materialise
from mayfly.node.mounts import Mount
from mayfly.node.process_group import ProcessGroup
from mayfly.node.processes import boottime_ns
from mayfly.node.sampling import Meter
from mayfly.node.server import Stopped, persistently, sentence
from mayfly.node.steps import passing
from mayfly.node.workplace import Workplace
from mayfly.transfer.removal import remove_tree
from mayfly.wire import agent as wire
from mayfly.wire.agent import Assignment, Fence, Go, Peer, Wish

_LOG_PATIENCE_S = 10.0
"""How long a failed preparation waits for its build log to arrive before it is reported."""
_TAKEN_UP_S = 60.0
"""How long a call of a job's waits for its attempt to be taken up again."""


class Discarded(Exception):
    """The server wishes that nothing of the attempt remains."""


class Attempt:
    """`wish` may be called at any time, by any thread, as often as one likes; `released` is set at the end."""

    def __init__(self, assignment: Assignment, around: Workplace, gone: Callable[[Fence], None]) -> None:
        self.assignment, self.fence = assignment, assignment.fence
        self.folder = around.node.attempt(assignment.fence)
        self.running = False
        """Whether its processes may be sampled."""
        self._open = False
        self._settled = threading.Event()
        """Whether `_open` is known: it is not while the attempt is taken up again."""
        self._meter = Meter(self.folder.root)
        self._around, self._gone = around, gone
        self._changed = threading.Condition()
        self._go: Go | None = None
        self._stop_reason: str | None = None
        self._discard = threading.Event()
        self._told: threading.Event | None = None
        """Once nothing of it runs, and that goes with its last word: whether the server has both."""
        self._tool: subprocess.Popen[bytes] | None = None
        self._processes = ProcessGroup(assignment, self.folder, around)
        self._endings: dict[int, Ending] = {}
        self._pids: dict[int, int] = {}
        self._shipper: LogShipper | None = None
        self.journal: Journal | None = None
        """Of its tracking calls, from its start on this agent."""
        self._mount = Mount(around.node, self.folder)
        self._checkpoints: Checkpoints | None = None
        self._thread = threading.Thread(target=self._run, name=f"attempt-{self.fence.job}", daemon=True)

    # --- what the server wishes ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def wish(self, wish: Wish) -> None:
        with self._changed:
            if wish.action == "run" and wish.go is not None and self._go is None:
                self._go = wish.go
            if wish.action == "stop" and self._stop_reason is None:
                self._stop_reason = wish.stop_reason or "stop"
            if wish.action == "discard":
                self._discard.set()
                if self._tool is not None and self._tool.poll() is None:
                    self._tool.kill()
            self._changed.notify_all()

    @property
    def token(self) -> str:
        return self.assignment.token

    def opened(self) -> bool:
        """Whether its token opens the gateway: from its launch to its exit. Its processes go on while another agent takes
        it up, so this waits until it is known."""
        self._settled.wait(_TAKEN_UP_S)
        return self._open

    def _opens(self, whether: bool) -> None:
        self.running = self._open = whether
        self._settled.set()

    def sample(self, *, last: bool = False) -> None:
        """Report what it uses now, or, when nothing of it runs any more, what it has used."""

        def pids() -> list[int]:
            return [] if last else [pid for one in self._processes.supervised for pid in one.members()]

        if self._checkpoints is not None:
            self._checkpoints.look()
        use = self._meter.read(self._processes.limits, pids, disk_now=last)
        self._report(wire.Sample, **use)

    def checkpoint(self) -> threading.Event | None:
        """Save what its outputs hold, now; None when it has not begun."""
        return self._checkpoints.now() if self._checkpoints is not None else None

    # --- the walk -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._live()
        except (Discarded, Stopped):
            pass
        except Exception as error:  # noqa: BLE001  (a fault of ours must be told, not swallowed with its thread)
            self._failed(f"The node agent failed: {sentence(error)}.")
        self._around.server.done()
        self._settled.set()
        if self._told is not None:
            while not self._told.wait(0.5) and not self._discard.is_set():
                pass
        else:
            with self._changed:
                while not self._discard.is_set():
                    self._changed.wait()
        self._release()

    def _failed(self, why: str) -> None:
        """The walk cannot go on: nothing of the job runs after this, and the server hears the end of it."""
        self._opens(False)
        if not self.folder.record("launch").exists():
            self._processes.abandon()
            self._report(wire.PreparationFailed, code="NodeFault", message=why)
            return
        self._processes.kill()
        exits = (wire.ProcessExit(process=0, code=137),)
        self._report(wire.Exited, exits=exits, before_stop=False, lost=why, lost_code="NodeFault")
        self._report(wire.Collected, code="NodeFault", message=why)

    def _live(self) -> None:
        self._assigned()
        shipper = self._shipper = LogShipper(
            self._around.server, self.fence, self.assignment.rank, self.folder.logs, self.folder.record("shipped")
        )
        shipper.start()
        root = self.folder.root
        self.journal = Journal(self._around.server, self.assignment, root / "tracking.jsonl", root / "runs.json")
        build_log = plan.build_log_name(self.assignment)
        if (self.folder.root / build_log).exists():
            self._ship(build_log)
        try:
            ready = self._materialised()
        except MayflyError as error:
            self._check_discard()
            self._unprepared(error)
            return
        self._ready(ready.note)
        self._foresee(ready)
        if self._granted():
            self._launched(ready)
            self._watch()
        else:
            self._processes.abandon()
        self._stop_checkpoints()
        self._exited()
        self._finish()
        known = read_json(self.folder.record("collected")) or self._collect()  # while the last lines are on their way
        self._acknowledged()
        self._collected(known)

    def _assigned(self) -> None:
        self.folder.prepare()
        if not self.folder.record("assignment").exists():
            write_whole(self.folder.record("assignment"), msgspec.json.encode(self.assignment))
        passing("assigned")

    def _materialised(self) -> Materialised:
        """Raises MayflyError when it cannot be done, Discarded when nobody wants it any more."""
        known = read_json(self.folder.record("materialised"))
        if known is not None:
            found = msgspec.convert(known, Materialised)
            # what was prepared ahead brings a layer of its own, and we may have died between the two
            if found.stands() or self.folder.record("launch").exists():
                return found
        build_log = plan.build_log_name(self.assignment)

        def running(tool: subprocess.Popen[bytes]) -> None:
            self._ship(build_log)
            with self._changed:
                self._tool = tool
                if self._discard.is_set():
                    tool.kill()

        def attempt() -> Materialised:
            self._check_discard()
            return materialise(
                self.assignment,
                self.folder,
                Means(
                    node=self._around.node,
                    environments=self._around.environments,
                    images=self._around.images,
                    server=self._around.server,
                    mount=self._mount,
                    remaps=self._around.strategy.remaps,
                    cannot_mount=self._around.cannot_mount,
                    keep=self._around.keep,
                ),
                enter=lambda phase, detail: self._report(wire.PhaseEntered, phase=phase, detail=detail),
                running=running,
                check=self._check_discard,
            )

        try:
            found = persistently(attempt, self._discard)
        except OSError as error:
            raise Unprepared("NodeDiskFailed", f"Preparing failed on the node's disk: {error}.") from error
        write_json(self.folder.record("materialised"), asdict(found))
        passing("materialised")
        return found

    def _unprepared(self, error: MayflyError) -> None:
        shipper = self._shipper
        if shipper is not None:
            shipper.finish()
            shipper.done.wait(_LOG_PATIENCE_S)
        self._report(wire.PreparationFailed, code=error.code, message=error.message, remedy=error.remedy or "")

    def _ready(self, note: str) -> None:
        known = read_json(self.folder.record("ready"))
        if known is None:
            known = {"address": self._around.address(), "ports": plan.free_ports(plan.ports_needed(self.assignment))}
            write_json(self.folder.record("ready"), known)
        passing("ready")
        if not self.folder.record("exited").exists():
            self._report(wire.Ready, address=known["address"], ports=tuple(known["ports"]), note=note)

    def _granted(self) -> bool:
        """Wait for the start. False when a stop came first: then nothing was ever started."""
        record = self.folder.record("go")
        if self.folder.record("stop").exists() and not self.folder.record("launch").exists():
            return False
        if record.exists():
            self._go = msgspec.json.decode(record.read_bytes(), type=Go)
            return True
        with self._changed:
            while self._go is None and self._stop_reason is None:
                self._check_discard()
                self._changed.wait()
            self._check_discard()
            stopped = self._stop_reason is not None
        if stopped:
            self._receive_stop()
            return False
        write_whole(record, msgspec.json.encode(self._go))
        passing("go")
        return True

    def _foresee(self, ready: Materialised) -> None:
        """While the grant is on its way: a rank that is alone knows what it will be."""
        if self.assignment.node_count == 1 and not any(self.folder.record(name).exists() for name in ("go", "stop")):
            known = read_json(self.folder.record("ready")) or {}
            go = Go(peers=(Peer(address=known["address"], ports=tuple(known["ports"])),))
            self._processes.prepare(ready, go, self._mount)

    def _launched(self, ready: Materialised) -> None:
        go, first = self._grant(), not self.folder.record("launch").exists()
        processes = plan.processes(self.assignment, go)
        for process in processes:
            self._ship(process.log)
        self._processes.prepare(ready, go, self._mount)
        if first:
            write_json(self.folder.record("launch"), {"processes": len(processes), "uid": self._processes.uid})
        passing("launched")
        self._processes.start()
        self._opens(True)
        self._checkpoints = Checkpoints(
            self.assignment,
            self.folder,
            self._around.server,
            lambda outputs: self._report(wire.Checkpointed, outputs=outputs),
            self._around.pace,
        )
        self._checkpoints.start()
        for one in self._processes.supervised:
            threading.Thread(target=one.follow, args=(self._on_started, self._on_ended), daemon=True).start()

    def _watch(self) -> None:
        """Until every process has ended; a stop is passed on when it comes."""
        told = False
        passed_on = False
        while True:
            with self._changed:
                started = len(self._pids) == len(self._processes.supervised)
                ended = len(self._endings) == len(self._processes.supervised)
                stop = self._stop_reason is not None
                if not (ended or (started and not told) or (stop and not passed_on) or self._discard.is_set()):
                    self._changed.wait()
                    continue
            self._check_discard()
            if started and not told:
                told = True
                self._started()
            if stop and not passed_on:
                passed_on = True
                self._receive_stop()
                self.checkpoint()
                for one in self._processes.supervised:
                    one.stop()
            if ended:
                return

    def _started(self) -> None:
        passing("started")
        own = self._processes.taken or self.assignment.environment.image is not None
        self._report(
            wire.Started,
            pids=tuple(pid for _, pid in sorted(self._pids.items())),
            isolation="namespaces" if own else self._around.strategy.name,
            limits=self._around.machine.holding,
            note=self._processes.start_note,
        )

    def _receive_stop(self) -> None:
        record = self.folder.record("stop")
        if not record.exists():
            write_json(record, {"at_boottime_ns": boottime_ns(), "reason": self._stop_reason})
        passing("stopping")

    def _exited(self) -> None:
        self._opens(False)
        known = read_json(self.folder.record("exited"))
        if known is None:
            known = self._exit_facts()
            write_json(self.folder.record("exited"), known)
        passing("exited")
        self._report(
            wire.Exited,
            exits=tuple(msgspec.convert(known["exits"], list[wire.ProcessExit])),
            before_stop=known["before_stop"],
            timed_out=known["timed_out"],
            lost=known["lost"],
            lost_code=known.get("lost_code", ""),
        )

    def _exit_facts(self) -> dict[str, Any]:
        stop = read_json(self.folder.record("stop"))
        endings = [self._endings[index] for index in sorted(self._endings)]
        if not endings:
            return {"exits": [{"process": 0, "code": 137}], "before_stop": False, "timed_out": False, "lost": ""}
        self._meter.cpu_s = max(self._meter.cpu_s, sum(ending.cpu_s for ending in endings))
        latest = max(ending.at_boottime_ns for ending in endings)
        return {
            "exits": [{"process": e.index, "code": e.code, "oom": e.oom} for e in endings],
            "before_stop": stop is None or (latest > 0 and latest < stop["at_boottime_ns"]),
            "timed_out": any(ending.timed_out for ending in endings),
            "lost": " ".join(dict.fromkeys(ending.lost for ending in endings if ending.lost)),
            "lost_code": next((ending.lost_code for ending in endings if ending.lost), ""),
        }

    def _finish(self) -> None:
        """Nothing more is written to logs and journal."""
        if self._shipper is not None:
            if self.folder.record("launch").exists() and not self._processes.supervised:
                for process in plan.processes(self.assignment, self._grant()):
                    self._ship(process.log)
            self._shipper.finish()
        if self.journal is not None:
            self.journal.finish()

    def _acknowledged(self) -> None:
        for name, words in (("logs", self._shipper), ("journal", self.journal)):
            while words is not None and not words.done.wait(0.5):
                self._check_discard()
            self._check_discard()
            passing(f"{name}-acknowledged")

    def _collected(self, known: dict[str, Any]) -> None:
        if not self.folder.record("collected").exists():
            known["logs"] = self._shipper.sizes() if self._shipper else {}
            write_json(self.folder.record("collected"), known)
            self.sample(last=True)
        passing("collected")
        said = self._fact(
            wire.Collected,
            outputs=tuple(msgspec.convert(known["outputs"], list[wire.OutputManifest])),
            logs=known["logs"],
            code=known["code"],
            message=known["message"],
        )
        if self.assignment.node_count > 1:  # the others may need it yet
            self._around.reporter.send(said)
            return
        self._leave()
        self._told = self._around.reporter.send(said, self._fact(wire.Released))

    def _collect(self) -> dict[str, Any]:
        server, told = self._around.server, self._mount.faults()

        def attempt() -> Collected:
            return collect(self.assignment, self.folder, server, self._check_discard, lambda: passing("published"))

        try:
            found = persistently(attempt, self._discard)
        except (Unavailable, Discarded):
            raise
        except (MayflyError, OSError) as error:
            return {"outputs": [], "code": "OutputsNotCollected", "message": sentence(error)}
        return {
            "outputs": [msgspec.to_builtins(output) for output in found.outputs],
            "code": "OutputsNotCollected" if found.failed else "",
            "message": " ".join(filter(None, [*told, found.note()])),
        }

    def _stop_checkpoints(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.stop()
            self._checkpoints = None

    def _leave(self) -> None:
        """Nothing of it runs any more, and what it held of the machine is free; its folder is still there."""
        if self._shipper is not None:
            self._shipper.stop()
        if self.journal is not None:
            self.journal.stop()
        self._processes.kill()
        self._stop_checkpoints()
        self._mount.end()

    def _release(self) -> None:
        passing("discarding")
        if self._told is None:
            self._leave()
        trash = self._around.node.trash / self.folder.root.name
        self._around.node.trash.mkdir(exist_ok=True, mode=0o700)
        with suppress(OSError):  # nothing of it runs any more; a restarted agent tidies what is left
            if self.folder.root.exists():
                remove_tree(trash)
                self.folder.root.rename(trash)
        self._processes.leave()
        passing("released")
        if self._told is None:
            self._report(wire.Released)
        with suppress(OSError):  # its room is free already; the next need not wait for this
            remove_tree(trash)
        self._gone(self.fence)

    # --- parts of it --------------------------------------------------------------------------------------------------

    def _grant(self) -> Go:
        if self._go is None:
            self._go = msgspec.json.decode(self.folder.record("go").read_bytes(), type=Go)
        return self._go

    def _ship(self, name: str) -> None:
        if self._shipper is not None:
            cap = self.assignment.limits.log_mib << 20
            self._shipper.add(LogFile(name, self.folder.root / name, cap))

    def _on_started(self, index: int, pid: int) -> None:
        with self._changed:
            self._pids[index] = pid
            self._changed.notify_all()

    def _on_ended(self, ending: Ending) -> None:
        with self._changed:
            self._endings[ending.index] = ending
            self._changed.notify_all()

    def _check_discard(self) -> None:
        if self._discard.is_set():
            raise Discarded

    def _report(self, kind: type, **facts: Any) -> None:
        self._around.reporter.send(self._fact(kind, **facts))

    def _fact(self, kind: type, **facts: Any) -> wire.AnyReport:
        told = {name: _sendable(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        return kind(fence=self.fence, rank=self.assignment.rank, at=self._around.now(), **told)


class Unprepared(MayflyError):
    """Preparing failed for a reason of the node's own."""


def _sendable(text: str) -> str:
    """File names need not be Unicode, what is sent must be."""
    return text.encode("utf-8", "backslashreplace").decode()
