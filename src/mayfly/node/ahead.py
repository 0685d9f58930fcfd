"""A sandbox with an interpreter in it that is made ahead of the job that will use it, and has imported what that one will
import first: its start does not wait for that any more.

There is at most one on a node, made once the node has nothing to do, for jobs of a kind of which there were several lately; and
it is never beside a job: whichever job comes next either becomes it or ends it. It is used once. It runs as a user of its own under the
limits that its job will have, sees its environment and an empty home, knows no token and none of any job's variables, and
stands still once it is ready. What its job needs besides is put into its sandbox when it is taken (`node/enter.py`,
`node/foreword.py`); the supervisor that made it becomes the job's (`node/supervisor.py`).

It dies with its agent. Whatever goes wrong with it, jobs start as they always do.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from mayfly.node import plan, uids
from mayfly.node.disk import write_json
from mayfly.node.environments import Environments
from mayfly.node.folders import NodeFolder
from mayfly.node.launch import GRACE_S
from mayfly.node.layer import lay
from mayfly.node.limits import Machine
from mayfly.node.nursery import Nursery
from mayfly.node.opening import Opening, opening
from mayfly.node.processes import wait_ended
from mayfly.node.sandbox import Overlay, Room, Strategy, works, write_etc
from mayfly.node.supervisor import MARKER, ROOM
from mayfly.transfer.removal import remove_tree
from mayfly.wire.agent import Assignment, EnvironmentPlan, Limits

REST_S = 0.5
"""How long a node has had nothing to do before one is made."""
LATELY_S = 3600.0
OFTEN = 2
"""Jobs of a kind lately, before one is made for the next."""
UNUSED_S = 900.0
"""How long one waits for a job."""
MOST_MIB = 2048
"""Memory that one may use before it is a job's."""
SPARE_MIB, SPARE_SHARE = 1024, 0.15
"""What the machine has left of its memory beside one, at least; else it goes."""
_KINDS = 64
_TAKING_S = 15.0
_ENDING_S = 5.0
_FOREWORD = Path(__file__).with_name("foreword.py")
_MODULE = "_mayfly_ahead"
_PAD = "x" * 4000
"""Room for the words of the job's command, where people look for them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Jobs of which one can be started like any other: what they are told may differ, and where they are."""

    workspace: tuple[tuple[str, str], ...]
    environment: str
    program: str
    own: tuple[str, ...]
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    cores: int
    memory_mib: int
    shm_mib: int
    pids: int
    refusal: str = ""
    """Why none is made for them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind, and what it takes to make one."""

    kind: Kind
    opening: Opening
    environment: EnvironmentPlan
    root: Path
    """Where that lies."""
    limits: Limits
    user: str
    variables: Mapping[str, str]
    """The agent's own."""
    cores: int
    """Real ones."""


def wanted(
    assignment: Assignment, command: str, code: Path, root: Path, user: str, variables: Mapping[str, str], cores: int
) -> Wanted | None:
    """What could have been made ahead of this job; None where there is nothing to import before it begins."""
    environment, limits = assignment.environment, assignment.limits
    alone = assignment.node_count == 1 and assignment.distribution.kind == "none"
    if not alone or environment.image is not None or not environment.lock:
        return None
    found = opening(command, code, {**environment.variables, **assignment.variables})
    if found is None:
        return None
    refusal = ""
    if assignment.variables:
        refusal = f"it has variables of its own ({min(assignment.variables)})"
    elif limits.gpus:
        refusal = "it has GPUs"
    kind = Kind(
        workspace=tuple(sorted(assignment.workspace.items())),
        environment=environment.digest,
        program=found.program,
        own=found.own,
        imports=found.imports,
        cores=limits.cores,
        memory_mib=limits.memory_mib,
        shm_mib=limits.shm_mib,
        pids=limits.pids,
        refusal=refusal,
    )
    return Wanted(kind, found, environment, root, limits, user, variables, cores)


@dataclass(slots=True)
class _Seen:
    times: list[float] = field(default_factory=list)
    wanted: Wanted | None = None
    unfit: str = ""


class Interpreter:
    """One that was made ahead, as its agent knows it."""

    def __init__(self, wanted: Wanted, root: Path, name: str, machine: Machine) -> None:
        self.wanted, self.root = wanted, root
        self.name = name
        """Of its control group."""
        self.uid, self.uid_lock = 0, -1
        self.lent = False
        """Whether its user and its control group are a job's, whatever becomes of it."""
        self.made_at = time.monotonic()
        self.ready = self.gone = False
        self.unfit = ""
        self.modules: frozenset[str] = frozenset()
        self.asked: frozenset[str] = frozenset()
        """Variables that its imports looked at."""
        self.variables: dict[str, str] = {}
        self.shown: frozenset[Path] = frozenset()
        self.program = ""
        self._machine = machine
        self._environment: tuple[Path, int] | None = None
        self._asks: socket.socket | None = None
        self._told: BinaryIO | None = None
        self._process = (0, 0)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def code(self) -> Path:
        """Where its job will find its working directory: an interpreter asks where it is when it begins."""
        return self.root / "code"

    @property
    def movable(self) -> tuple[str, ...]:
        """Folders that its job will have instead of those of the same name."""
        return ("home", "tmp", "venv")

    def make(self, environments: Environments, nursery: Nursery, separate_user: bool) -> None:
        """Raises MayflyError, OSError, NoUserLeft."""
        self.root.mkdir(mode=0o700)
        for place in (self.home, self.root / "tmp"):
            place.mkdir(mode=0o755)
        built = environments.build(self.wanted.environment, self.root / "build.log", lambda _tool: None)
        layer = lay(built, self.root / "venv")
        if layer.overlay is None or built.root is None:
            self.unfit = "its environment has no layer of its own"
            return
        self._environment = (built.root, built.root.stat().st_ino)
        self.shown, self.program = frozenset(layer.readable), f"{layer.path[0]}/{self.wanted.opening.program}"
        site = Path("lib", f"python{built.interpreter.version}", "site-packages")
        self._write_foreword(self.root / "venv" / "upper" / site, built.root / site)
        if separate_user:
            self.uid, self.uid_lock = uids.take()
        if self.uid:
            for name in self.movable:
                for parent, _, files in os.walk(self.root / name):
                    for place in (parent, *(os.path.join(parent, file) for file in files)):  # noqa: PTH118
                        os.chown(place, self.uid, self.uid)
        user = self.uid or os.getuid()
        write_etc(self.root / "etc", user, user, self.wanted.user, self.home)
        room = Room(
            folder=self.root,
            writable=(self.home,),
            readable=tuple((place, place) for place in layer.readable),
            empty=(self.code,),
            tmp=self.root / "tmp",
            etc=self.root / "etc",
            working=self.code,
            shm_mib=self.wanted.limits.shm_mib,
            uid=self.uid,
            overlay=Overlay(*map(Path, layer.overlay)),
        )
        self._fork(nursery, room, layer.venv, layer.path)

    def _write_foreword(self, upper: Path, seen: Path) -> None:
        here = (str(seen / f"~{_MODULE}.pth"), str(seen / f"{_MODULE}.py"))
        (upper / f"~{_MODULE}.pth").write_text(f"import {_MODULE}; {_MODULE}.wait()\n", encoding="utf-8")
        begins = self.wanted.opening
        told = f"IMPORTS = {begins.imports!r}\nHERE = {here!r}\nOWN = {len(begins.own)}\n"
        (upper / f"{_MODULE}.py").write_text(told + _FOREWORD.read_text(encoding="utf-8"), encoding="utf-8")

    def _fork(self, nursery: Nursery, room: Room, venv: str, path: tuple[str, ...]) -> None:
        wanted = self.wanted
        place = plan.Place(
            venv=venv,
            path=tuple(map(Path, path)),
            home=str(self.home),
            tmp="/tmp",
            user=wanted.user,
            node_variables=wanted.variables,
        )
        self.variables = plan.standing(place, min(wanted.limits.cores, wanted.cores))
        self.variables |= {"CUDA_VISIBLE_DEVICES": "", **wanted.environment.variables}
        limits = msgspec.structs.replace(wanted.limits, memory_mib=min(wanted.limits.memory_mib, MOST_MIB))
        enclosure = Strategy("namespaces", True, bool(self.uid)).enclose(room)
        spec = {
            "ahead": True,
            "argv": [wanted.opening.program, *wanted.opening.own, _PAD],
            "program": self.program,
            "environment": {**self.variables, **ROOM, MARKER: self.name},
            "entered": enclosure.entered,
            "ground": enclosure.ground,
            "folder": str(self.root),
            "log": str(self.root / "log"),
            "cgroups": self._machine.make(self.name, limits).entrances,
            "drop_uid": 0,
            "depth": 2,
            "grace_s": GRACE_S,
            "timeout_s": None,
        }
        write_json(self.root / "process.json", spec)
        told, tells = os.pipe2(os.O_CLOEXEC)
        self._told = open(told, "rb")  # noqa: SIM115
        self._asks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, open(self.root / "err", "ab") as complaints:
                self._process = nursery.fork(self.root / "process.json", tells, complaints.fileno(), theirs.fileno())
        finally:
            os.close(tells)

    def listen(self) -> None:
        """Wait until it says what it is, or is gone. Raises nothing."""
        told = self._told
        if told is None:
            return
        with suppress(OSError, ValueError), told:
            why, modules, asked = told.readline().decode("utf-8", "replace").rstrip("\n").split("\t")
            self.modules, self.asked = frozenset(modules.split(",")), frozenset(asked.split(","))
            self.unfit, self.ready = why, not why
            return
        self.gone = True

    def failing(self) -> str:
        """Why no job can have it; '' when one can."""
        if self.unfit or self.gone:
            return self.unfit or "what was prepared had ended"
        if not self.ready or self._environment is None:
            return "it was not ready yet"
        root, number = self._environment
        with suppress(OSError):
            if root.stat().st_ino == number:
                return ""
        return "its environment was made anew"

    def objection(self, begins: Opening, environment: Mapping[str, str]) -> str:
        """Why this very job cannot have it; '' when it can. `environment`: the variables that it would have."""
        with suppress(OSError):
            beside = {name.partition(".")[0] for name in os.listdir(begins.folder)}  # noqa: PTH208
            if hides := sorted(beside & (self.modules | begins.names)):
                return f"a file beside its script is called as a module is: {hides[0]}"
        own = {name: value for name, value in environment.items() if self.variables.get(name) != value}
        if seen := sorted(self.asked & (own.keys() | (self.variables.keys() - environment.keys()))):
            return f"an import looks at {seen[0]}, which each job has of its own"
        return ""

    def hand(self, file: Path, *descriptors: int) -> tuple[int, int]:
        """As `Nursery.fork`: its supervisor is the one of that process now. Raises OSError when it is not."""
        asks = self._asks
        if asks is None:
            raise OSError("the prepared interpreter is gone")
        asks.settimeout(_TAKING_S)
        try:
            socket.send_fds(asks, [os.fsencode(file)], descriptors)
            pid, _, started = asks.recv(64).partition(b" ")
            return int(pid), int(started)
        except (OSError, ValueError) as error:
            raise OSError("the prepared interpreter has died") from error

    def end(self) -> None:
        """Nothing of it runs after this, unless it was handed over: then that is a job's."""
        self._close()
        wait_ended(*self._process, _ENDING_S)
        group = self._machine.group(self.name)
        group.kill()
        if not self.lent:
            group.remove()
            if self.uid_lock >= 0:
                os.close(self.uid_lock)
        with suppress(OSError):
            remove_tree(self.root)

    def leave(self) -> None:
        """It is a job's; what it still has here may go."""
        self._close()
        with suppress(OSError):
            remove_tree(self.root)

    def _close(self) -> None:
        if self._asks is not None:
            self._asks.close()
            self._asks = None


class Ahead:
    """Safe for many threads."""

    def __init__(
        self,
        node: NodeFolder,
        nursery: Nursery,
        environments: Environments,
        machine: Machine,
        strategy: Strategy,
        forbidden: Iterable[str] = (),
        spare: Callable[[], bool] | None = None,
    ) -> None:
        self._node, self._nursery, self._environments = node, nursery, environments
        self._machine, self._strategy = machine, strategy
        self._spare = spare or _spare
        self._lock = threading.Lock()
        self._seen: dict[Kind, _Seen] = {}
        self._one: Interpreter | None = None
        self._timer: threading.Timer | None = None
        self._closed = "ahead" in forbidden or not strategy.overlays
        self._works: bool | None = None if "namespaces" not in forbidden else False

    def tidy(self) -> None:
        """What another agent left: it had died with that one."""
        for place in self._folder.glob("*/"):
            self._machine.group(self._called(place)).remove()
            with suppress(OSError):
                remove_tree(place)

    def take(self, wanted: Wanted | None) -> tuple[Interpreter | None, str]:
        """The one that this job can have, now its own to hand over or to end; or why there is none, where one was to be expected. Any
        other is ended: it will not be beside a job."""
        with self._lock:
            self._rest_no_more()
            one, self._one = self._one, None
            seen = self._note(wanted)
        if one is None:
            return None, unprepared(seen.unfit or "none had been made yet") if seen else ""
        if wanted is not None and one.wanted.kind == wanted.kind:
            if not (why := one.failing()):
                return one, ""
        else:
            why = "the one that there was had been made for another kind of job"
        one.end()
        return None, unprepared(why) if seen else ""

    def unfit(self, kind: Kind, why: str) -> None:
        """None is made for these any more."""
        with self._lock:
            if kind in self._seen:
                self._seen[kind].unfit = why

    def rest(self) -> None:
        """The node has nothing to do."""
        with self._lock:
            if self._closed or self._timer is not None or self._one is not None:
                return
            self._timer = threading.Timer(REST_S, self._make)
            self._timer.daemon = True
            self._timer.start()

    def look(self) -> None:
        """Call now and then: one that nobody uses goes, and one for which there is no room."""
        with self._lock:
            one = self._one
            if one is None:
                return
            if self._spare() and time.monotonic() - one.made_at < UNUSED_S and not one.unfit and not one.gone:
                return
            self._one = None
            if one.wanted.kind in self._seen:
                self._seen[one.wanted.kind].times.clear()
        one.end()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._rest_no_more()
            one, self._one = self._one, None
        if one is not None:
            one.end()

    def _note(self, wanted: Wanted | None) -> _Seen | None:
        """What is known of its kind, when there were several lately."""
        if wanted is None or self._closed:
            return None
        now = time.monotonic()
        seen = self._seen.pop(wanted.kind, _Seen())
        self._seen[wanted.kind] = seen
        while len(self._seen) > _KINDS:
            del self._seen[next(iter(self._seen))]
        hot = len(seen.times) >= OFTEN
        seen.times = [*(at for at in seen.times if now - at < LATELY_S), now][-OFTEN:]
        seen.wanted, seen.unfit = wanted, seen.unfit or wanted.kind.refusal
        return seen if hot else None

    def _make(self) -> None:
        with self._lock:
            self._timer = None
            wanted = self._next()
            if wanted is None:
                return
            one = Interpreter(wanted, self._folder / uuid.uuid4().hex[:12], "", self._machine)
            one.name = self._called(one.root)
            try:
                self._folder.mkdir(exist_ok=True, mode=0o700)
                one.make(self._environments, self._nursery, self._strategy.separate_user)
            except Exception:  # noqa: BLE001  (nobody waits for it, and jobs do without)
                one.gone = True
            if one.unfit or one.gone:
                self._seen[wanted.kind].unfit = one.unfit
                self._seen[wanted.kind].times.clear()
                one.end()
                return
            self._one = one
        one.listen()
        if one.unfit:
            self.unfit(wanted.kind, one.unfit)

    def _next(self) -> Wanted | None:
        """For which kind: the last one, if there were several of it."""
        if self._closed or self._one is not None or not self._seen:
            return None
        seen = self._seen[next(reversed(self._seen))]
        often = len(seen.times) >= OFTEN and time.monotonic() - seen.times[0] < LATELY_S
        if not often or seen.unfit or seen.wanted is None or not seen.wanted.root.is_dir() or not self._spare():
            return None
        if self._works is None:
            separate = self._strategy.separate_user
            self._works = works(Strategy("namespaces", True, separate), separate, self._node.cache)
        return seen.wanted if self._works else None

    def _rest_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _folder(self) -> Path:
        return self._node.root / "ahead"

    def _called(self, place: Path) -> str:
        return f"{self._node.node}-ahead-{place.name}"


def unprepared(why: str) -> str:
    return f"Its start was not prepared: {why}."


def _spare() -> bool:
    """Whether the machine has memory to spare."""
    told: dict[str, int] = {}
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                told[name] = int(value.split()[0]) >> 10
    return told.get("MemAvailable", 0) >= max(SPARE_MIB, SPARE_SHARE * told.get("MemTotal", 0))
