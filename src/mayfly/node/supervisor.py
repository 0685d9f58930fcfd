"""The parent of one process of a job: opens its log, starts it, waits, and leaves a record of how it ended.

In a session of its own and outside the sandbox. It needs nobody's help: the agent and the server may die meanwhile. Only the
standard library, and what makes a sandbox (`enter.py`).

Supervisors are forked by a *nursery*, so that the start of a job does not wait for an interpreter: run as a script,
`python -I -S supervisor.py <number of a socket> <node's folder>`, by an agent, which it never outlives. It has one thread and
knows nothing of any job. Its first message says what all sandboxes show alike, for which it lays the ground. Each message after
that is the path of a process file and brings the descriptors that become the supervisor's standard output and error, the one
that it hears its grant on, then those that it keeps; the answer is its pid and when it began.

A supervisor first makes the sandbox, in which what will be the command waits. A byte is the grant: it begins, says so
durably, and lets that become the command. If the other end is closed before, nothing ever began.

A supervisor whose process file says `ahead` makes a sandbox and an interpreter in it that no job is known for yet
(`node/ahead.py`). It says on its standard output what that interpreter says of itself, and has it stand still. What it hears its
grant on is a socket then: one message as the nursery gets them, with the process file of the job that it now becomes the supervisor of.

The process file (JSON): argv, environment, entered and ground (what `enter.py` is told of the sandbox; empty: there is none, or the
argv makes it), waits (whether the argv brings a launcher that waits inside), folder, log, record, pids, timeout_s, grace_s,
drop_uid, depth (processes between the first one and the job's own), cgroups (folders of the groups that it joins), oom
(file with an `oom_kill <n>` line, or ""), boot_id. Its own standard output gets a line once it has begun, then the pid of
the job's process.
SIGTERM means: end it politely, then firmly. The record (JSON): code (128 + n for signal n), oom, timed_out, stopped,
started (whether the sandbox reached the command), at_boottime_ns, wall_s, cpu_s.
"""

# ruff: noqa: PTH101, PTH105, PTH108, PTH112, PTH120, PTH208
# (pathlib would cost a third of the time that a supervisor takes to start)

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time

if __name__ == "__main__":  # started with nothing but the standard library in reach
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from mayfly.node.enter import enter
from mayfly.node.ground import Ground
from mayfly.node.joining import fork_into, join

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost a fifth of the time to start
    from typing import Any

MARKER = "MAYFLY_PROCESS"
"""Every process of a job carries this variable; it finds those that left their parents, where no cgroup does."""
ROOM = {"MAYFLY_ROOM": "x" * 1000}
"""What a nursery has in its own, for its children's children to write a mark over (`bear`)."""
_PDEATHSIG = 1
_SUBREAPER = 36
_LONGEST_POLL_S = 86400.0
"""`poll` takes no more than 24 days; a timeout may be longer."""
_MOST_KEPT = 8
"""Descriptors in one message."""
_READY_FD = 9
"""Where the innermost process says that the sandbox stands."""
_GATE_FD = 8
"""Where it hears that it may become the command."""
_NEVER_RAN = b"!"
"""Said there when it could not."""
_LATER_FD = 10
"""Where a sandbox that was made ahead hears what else it shows."""
_LAID_FD = 11
"""What its sandbox begins with."""
_LONGEST_MESSAGE = 1 << 16
_QUIET_S, _UNTENDED_S = 0.1, 5.0
"""The ground is looked after once no start is under way, or after so long."""
_LONGEST_REPORT = 1 << 20
_IMPORTS_S = 120.0
"""How long an interpreter that is made ahead may take to be ready."""
_TAKING_S = 5.0
"""How long it may take to become a job's."""


def passing(point: str) -> None:
    """See `transfer/killpoints.py`."""
    trace = os.environ.get("MAYFLY_KILL_TRACE")
    if trace:
        descriptor = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{point}\n".encode())
        os.close(descriptor)
    points = os.environ.get("MAYFLY_KILL_AT", "").split(";")
    if point not in points:
        return
    mark, number = os.environ.get("MAYFLY_KILL_ONCE", ""), points.index(point)
    if mark:
        try:
            os.close(os.open(f"{mark}.{number}" if number else mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)


def boottime_ns() -> int:
    """Nanoseconds since boot, sleep included; the agent stamps its receipts with the same clock."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def draft(path: str, value: object, sync: bool = False) -> str:
    """The file that becomes this one."""
    part = f"{path}.{os.getpid()}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, json.dumps(value).encode())
    if sync:
        os.fsync(descriptor)
    os.close(descriptor)
    return part


def publish(part: str, path: str) -> None:
    """Of what was drafted in sync: once this returns, it survives a power cut."""
    os.replace(part, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def write_durably(path: str, value: object) -> None:
    """Once this returns, the value survives a power cut."""
    publish(draft(path, value, sync=True), path)


def open_log(path: str) -> int:
    """The log, for appending. Nobody can open it for writing again by its name: `> /dev/stderr` in a job is refused
    aloud instead of emptying it."""
    try:
        os.chmod(path, 0o600)
    except FileNotFoundError:
        pass
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(log, 0o400)
    return log


def start_time(pid: int) -> int:
    """When the process began, in clock ticks since boot: with the pid and the boot id it names a process for good."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def children(pid: int) -> list[int]:
    """Of a process of one thread."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return [child for child, parent in parents().items() if parent == pid]


def has_children() -> bool:
    """Whether anything is below us, dead or alive: what loses its parent there becomes our child."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def parents() -> dict[int, int]:
    """Every process and its parent."""
    found = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    return found


def descendants(root: int) -> list[int]:
    """All below `root`, nearest first. Nobody asks for those of 0 or 1, which are all that the machine runs."""
    if root <= 1:
        return []
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def oom_kills(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def exec_child(
    spec: dict[str, Any], log: int, gate: int, ready: int, later: int, laid: int, parent: int, joined: bool
) -> None:
    """Become the job's process. Never returns; an error is written to the log and ends with status 127."""
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if not joined:
            join(spec["cgroups"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _keep_only({_GATE_FD: gate, _READY_FD: ready, _LATER_FD: later, _LAID_FD: laid})
        if spec["drop_uid"]:
            os.setgroups([])
            os.setgid(spec["drop_uid"])
            os.setuid(spec["drop_uid"])
        prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(137)
        os.chdir(spec["folder"])
        if spec["entered"]:
            bear(spec["environment"])
            laid = _LAID_FD if laid >= 0 else -1
            if later >= 0:
                os._exit(enter(spec["ground"], spec["entered"], lambda: become_interpreter(spec), laid, _LATER_FD))
            os._exit(enter(spec["ground"], spec["entered"], lambda: become_command(spec), laid))
        if spec["waits"]:
            os.execve(spec["argv"][0], spec["argv"], spec["environment"])
        become_command(spec)
    except OSError as error:
        os.write(2, f"The command could not be started: {error}\n".encode())
    finally:
        os._exit(127)


def _keep_only(kept: dict[int, int]) -> None:
    """Number → what it shall be, of those that are there; nothing else stays open above the standard three."""
    for number, descriptor in kept.items():
        if descriptor >= 0:
            os.dup2(descriptor, 100 + number)
    for number, descriptor in kept.items():
        if descriptor >= 0:
            os.dup2(100 + number, number)
    last = 3
    for number in sorted(number for number, descriptor in kept.items() if descriptor >= 0):
        os.closerange(last, number)
        last = number + 1
    os.closerange(last, 4096)


def bear(environment: dict[str, str]) -> None:
    """Be found as what is started for a job is: its mark is written over the environment that the nursery began with."""
    mark = os.fsencode(f"{MARKER}={environment[MARKER]}") + b"\0"
    with open("/proc/self/stat", "rb") as file:
        start, end = map(int, file.read().rpartition(b")")[2].split()[47:49])
    if len(mark) <= end - start:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, mark, len(mark))


def become_interpreter(spec: dict[str, Any]) -> None:
    """Of a job that nobody knows yet; it waits by itself (`node/foreword.py`). Never returns."""
    try:
        os.execve(spec["program"], spec["argv"], spec["environment"])
    except (OSError, ValueError) as error:
        os.write(2, f"The interpreter could not be started: {error}\n".encode())
    os._exit(127)


def become_command(spec: dict[str, Any]) -> None:
    """Say that the sandbox stands, and wait until it may be. Never returns."""
    os.write(_READY_FD, b"\n")
    if not os.read(_GATE_FD, 1):
        os._exit(125)
    os.close(_GATE_FD)
    os.set_inheritable(_READY_FD, False)
    try:
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])
    except (OSError, ValueError) as error:
        os.write(_READY_FD, _NEVER_RAN)
        os.write(2, f"The command could not be started: {error}\n".encode())
    os._exit(127)


class Supervision:
    def __init__(self, spec: dict[str, Any], laid: int = -1) -> None:
        self.spec = spec
        self.laid = laid
        """What its sandbox can begin with; -1: nothing."""
        self.child = 0
        self.inner = 0
        self.ahead = 0
        """What was made ahead of its job."""
        self.started = False
        self.stopped = False
        self.timed_out = False
        self.kill_at: float | None = None
        self.begin = time.monotonic()

    def run(self, granted: int) -> None:
        spec = self.spec
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        prctl(_SUBREAPER, 1)
        log = open_log(spec["log"])
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        parent, later, later_end = os.getpid(), -1, -1
        if spec.get("ahead"):
            gate_write, gate_read = (end.detach() for end in socket.socketpair())
            later, later_end = (end.detach() for end in socket.socketpair())
        else:
            gate_read, gate_write = os.pipe2(os.O_CLOEXEC)
        self.child, joined = fork_into(spec["cgroups"])
        if self.child == 0:
            exec_child(spec, log, gate_read, ready_write, later_end, self.laid, parent, joined)
        os.close(gate_read)
        os.close(ready_write)
        if spec.get("ahead"):
            os.close(later_end)
            granted = self._await_job(granted, gate_write, ready_read, later)
            spec = self.spec
        else:
            passing("supervisor:prepared")
        if granted < 0:
            self._kill_tree()
            return
        oom_before = oom_kills(spec["oom"])
        pids = {"boot_id": spec["boot_id"], "supervisor": parent, "supervisor_start": start_time(parent)}
        pids |= {"child": self.child, "child_start": start_time(self.child)}
        drafted = draft(spec["pids"], pids, sync=True)  # while the grant is on its way
        if not os.read(granted, 1) or (self.ahead and _is_over(self.ahead)):
            os.unlink(drafted)
            self._kill_tree()
            return
        self.begin = time.monotonic()
        publish(drafted, spec["pids"])
        passing("supervisor:supervising")
        self._tell("begun")
        try:
            os.write(gate_write, b"\n")
        except OSError:
            pass  # the sandbox could not be made; its status says so
        os.close(gate_write)
        if self.stopped:
            self._terminate()
        status, usage = self._wait(wake_read, ready_read, pids)
        passing("supervisor:reaped")
        self._kill_tree()
        _reap()
        record = {
            "code": os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status),
            "oom": oom_kills(spec["oom"]) > oom_before,
            "timed_out": self.timed_out,
            "stopped": self.stopped,
            "started": self.started,
            "at_boottime_ns": boottime_ns(),
            "wall_s": time.monotonic() - self.begin,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }
        os.fsync(log)
        write_durably(spec["record"], record)
        passing("supervisor:recorded")

    def _await_job(self, asked: int, gate: int, ready: int, later: int) -> int:
        """Have an interpreter ready for a job; then become the supervisor of that one, whose process then stands before the
        gate as any other does. Where its grant comes; -1 when there will be none: whoever asked is gone, or the interpreter."""
        with socket.socket(fileno=os.dup(asked)) as asks:
            report = self._report(gate, asked)
            if not report:
                return -1
            inner = self.ahead = self._find_inner()
            _signal(inner, signal.SIGSTOP)
            os.write(1, report)
            message, descriptors, _flags, _address = socket.recv_fds(asks, 4096, _MOST_KEPT)
            if not message or _state(inner) != "T" or len(descendants(self.child)) != self.spec["depth"]:
                return -1
            told, complaints, granted = descriptors[:3]
            with open(message.decode(), encoding="utf-8") as file:
                job = json.load(file)
            with socket.socket(fileno=later) as sandbox, socket.socket(fileno=os.dup(gate)) as interpreter:
                sandbox.settimeout(_TAKING_S)
                sandbox.sendall("\0".join(job["entered"]).encode("utf-8", "surrogateescape"))
                sandbox.shutdown(socket.SHUT_WR)
                if not sandbox.recv(1):
                    return -1
                _signal(inner, signal.SIGCONT)  # not before: nothing of it may be at work where mounts are made
                interpreter.settimeout(_TAKING_S)
                words = [f"{MARKER}={job['environment'][MARKER]}", job["folder"], str(len(job["argv"])), *job["argv"]]
                words += [f"{name}={value}" for name, value in job["environment"].items()]
                text = "\0".join(words).encode("utf-8", "surrogateescape")
                interpreter.sendall(b"%d\n%b" % (len(text), text))
                interpreter.settimeout(None)
            if not _readable(ready, asked, _TAKING_S):
                return -1
            os.replace(self.spec["log"], job["log"])
            self.spec = job
            passing("supervisor:prepared")
            asks.send(f"{os.getpid()} {start_time(os.getpid())}".encode())
        os.dup2(told, 1)
        os.dup2(complaints, 2)
        os.close(told)
        os.close(complaints)
        os.close(asked)
        return granted

    def _report(self, gate: int, asked: int) -> bytes:
        """The line that an interpreter says of itself once it is ready; b'' when it will not be."""
        end, heard = time.monotonic() + _IMPORTS_S, b""
        while len(heard) <= _LONGEST_REPORT and time.monotonic() < end:
            if _readable(gate, asked, 1.0):
                part = os.read(gate, 1 << 16)
                heard += part
                if not part or heard.endswith(b"\n"):
                    return heard if part else b""
            elif _gone(asked) or _is_over(self._find_inner()):
                return b""
        return b""

    def _wait(self, wake: int, ready: int, pids: dict[str, Any]) -> tuple[int, Any]:
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        poller.register(ready, select.POLLIN)
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == self.child:
                os.set_blocking(ready, False)
                self._hear(ready, pids)
                return status, usage
            if pid:
                continue
            for descriptor, _event in poller.poll(self._patience_ms()):
                if descriptor == ready:
                    poller.unregister(ready)
                    self._hear(ready, pids)
                    if self.stopped:
                        self._terminate()
                else:
                    os.read(wake, 4096)
            self._deadlines()

    def _hear(self, ready: int, pids: dict[str, Any]) -> None:
        """What the innermost process has said, if anything: that it will be the command, or that it could not."""
        try:
            said = os.read(ready, 16)
        except BlockingIOError:
            return
        if said and not self.inner:
            pids["inner"] = self.inner = self._find_inner()
            self.started = True  # last: a stop that comes now must find whom to tell
            os.replace(draft(self.spec["pids"], pids), self.spec["pids"])
            self._tell(str(self.inner))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        self.started = self.started and _NEVER_RAN not in said

    def _tell(self, line: str) -> None:
        """The agent, if it is still there."""
        try:
            os.write(1, f"{line}\n".encode())
        except OSError:
            pass

    def _patience_ms(self) -> float | None:
        moments = []
        if self.kill_at is not None:
            moments.append(self.kill_at)
        elif self.spec["timeout_s"] is not None:
            moments.append(self.begin + self.spec["timeout_s"])
        return min(max(0.0, min(moments) - time.monotonic()), _LONGEST_POLL_S) * 1000 + 1 if moments else None

    def _deadlines(self) -> None:
        now = time.monotonic()
        if self.kill_at is not None:
            if now >= self.kill_at:
                self._kill_tree()
                self.kill_at = now + 0.2
        elif self.spec["timeout_s"] is not None and now >= self.begin + self.spec["timeout_s"]:
            self.timed_out = True
            self._terminate()
            self.kill_at = now + self.spec["grace_s"]

    def _stop(self, *_: object) -> None:
        if not self.stopped:
            self.stopped = True
            if self.child:
                self._terminate()
            self.kill_at = time.monotonic() + self.spec["grace_s"]

    def _find_inner(self) -> int:
        """The job's own first process, below the launchers of the sandbox: the deepest only child."""
        pid = self.child
        for _ in range(self.spec["depth"]):
            below = children(pid)
            if len(below) != 1:
                break
            pid = below[0]
        return pid

    def _terminate(self) -> None:
        """SIGTERM to the job's processes; before the sandbox stands, nothing of the job runs and all may die."""
        if not self.started or not self.inner:
            self._kill_tree()
            return
        for pid in [self.inner, *descendants(self.inner)]:
            _signal(pid, signal.SIGTERM)

    def _kill_tree(self) -> None:
        """SIGKILL to everything below us until nothing is left but what we have to reap."""
        for _ in range(200):
            if not has_children():
                return
            alive = [pid for pid in descendants(os.getpid()) if _state(pid) not in ("Z", "X", "")]
            if not alive:
                return
            for pid in alive:
                _signal(pid, signal.SIGKILL)
            time.sleep(0.002)


def _readable(descriptor: int, asked: int, patience_s: float) -> bool:
    """Whether something came before whoever asks was gone, and before the patience ended."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(asked, select.POLLRDHUP)
    return any(found == descriptor and event & select.POLLIN for found, event in poller.poll(patience_s * 1000))


def _comes(asked: socket.socket, patience_s: float) -> bool:
    """Whether there is a message, or nobody any more to send one."""
    poller = select.poll()
    poller.register(asked, select.POLLIN)
    return bool(poller.poll(patience_s * 1000))


def _gone(asked: int) -> bool:
    """Whether the other end was closed."""
    poller = select.poll()
    poller.register(asked, select.POLLRDHUP)
    return bool(poller.poll(0))


def _reap() -> None:
    """Take in the dead that the job left to us: in a container, nobody else may."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _signal(pid: int, number: int) -> None:
    if pid <= 1:  # 0 and less are not a process but many
        return
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _is_over(pid: int) -> bool:
    return _state(pid) in ("Z", "X", "")


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""


def nursery(asked: socket.socket) -> None:
    """Fork a supervisor for each message, until whoever asks is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    words, ground = json.loads(asked.recv(_LONGEST_MESSAGE) or b"[]"), Ground()
    ground.tend(words)
    tended = time.monotonic()
    while True:
        if not _comes(asked, _QUIET_S) or time.monotonic() - tended > _UNTENDED_S:
            ground.tend(words)
            tended = time.monotonic()
        message, descriptors, _flags, _address = socket.recv_fds(asked, _LONGEST_MESSAGE, _MOST_KEPT)
        if not message:
            return
        passing("nursery:asked")
        pid = os.fork()
        if pid == 0:
            _become_supervisor(asked, message.decode(), descriptors, ground)
        for descriptor in descriptors:
            os.close(descriptor)
        passing("nursery:forked")
        try:
            asked.send(f"{pid} {start_time(pid)}".encode())
        except OSError:
            return


def _become_supervisor(asked: socket.socket, path: str, descriptors: list[int], ground: Ground) -> None:
    """Never returns."""
    try:
        asked.close()
        os.setsid()
        told, complaints, granted = descriptors[:3]
        os.dup2(told, 1)
        os.dup2(complaints, 2)
        os.close(told)
        os.close(complaints)
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        laid = ground.descriptor if spec["entered"] and ground.holds(spec["ground"]) else -1
        Supervision(spec, laid).run(granted)
        os._exit(0)
    except Exception as error:  # noqa: BLE001  (whatever it was must be told before the process is gone)
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(1)


if __name__ == "__main__":
    nursery(socket.socket(fileno=int(sys.argv[1])))
