"""What is promised of every history, asked after each of its moves and at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mayfly.domain.job import Job, JobState
from mayfly.domain.node import Node as ServerNode
from mayfly.domain.phases import spans
from mayfly.testing.histories.node import Node
from mayfly.testing.histories.server import Server
from mayfly.testing.providers import MemoryMachines

_EARLY = (JobState.QUEUED, JobState.PROVISIONING, JobState.PREPARING)


class Broken(AssertionError):
    """A promise that did not hold, in a sentence."""


def _law(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)


class Witness:
    """Sees what the server says and what really happened, and never asks the one about the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._accepted: set[str] = set()
        self._seen: dict[str, Job] = {}
        self._asked: set[str] = set()
        self._prevented: set[str] = set()
        """Canceled before their start was granted, of which the cancel was answered."""
        self._lost: set[tuple[str, int]] = set()
        """Attempts that lost a node or a process through no fault of their own."""
        self.troubled = False
        """The provider refused, or a clock was set: then a node may be given up that did nothing wrong."""

    # --- what happens ------------------------------------------------------------------------------------------------

    def accepted(self, name: str) -> None:
        """The submit was answered."""
        self._accepted.add(name)

    def asked_to_cancel(self, name: str) -> None:
        self._asked.add(name)

    def canceled(self, name: str, before: Job | None) -> None:
        """The cancel was answered."""
        if before is not None and before.state in _EARLY:
            self._prevented.add(name)

    def lost_node(self, node: Node) -> None:
        self._lost |= {disk.key for disk in node.disks.values()}
        self.troubled = True

    def lost_processes(self, node: Node) -> None:
        self._lost |= {disk.key for disk in node.disks.values()}

    # --- after each move ---------------------------------------------------------------------------------------------

    def look(self, names: Sequence[str]) -> None:
        for name in self._accepted:
            _law(self._server.job(name) is not None, f"{name} was accepted and is not there")
        for name in names:
            job = self._server.job(name)
            assert job is not None
            before = self._seen.get(name)
            if before is job:
                continue
            if before is not None:
                self._moved(name, before, job)
            self._seen[name] = job
        problems = self._server.problems()
        _law(not problems, "; ".join(problems))

    def _moved(self, name: str, before: Job, job: Job) -> None:
        _law(job.attempt >= before.attempt, f"{name} went from attempt {before.attempt} to {job.attempt}")
        if before.state.terminal:
            same = (before.state, before.cause, before.ended_at) == (job.state, job.cause, job.ended_at)
            _law(same, f"{name} was {_said(before)} and became {_said(job)}")
        if name in self._prevented:
            _law(job.state is JobState.CANCELED, f"{name} was canceled before its start and is {_said(job)}")
        total = sum(span for _, span, _ in spans(job, job.phase_since))
        _law(total == job.phase_since - job.created_at, f"the phases of {name} add up to {total} ms")
        _law(all(span >= 0 for span in job.phases.values()), f"a phase of {name} is negative")

    # --- at the end --------------------------------------------------------------------------------------------------

    def ended(self, names: Sequence[str], nodes: Mapping[str, Node]) -> None:
        started = Counter(one for node in nodes.values() for one in node.starts)
        for (name, attempt, rank), times in started.items():
            _law(times == 1, f"rank {rank} of attempt {attempt} of {name} was started {times} times")
        for name in names:
            job = self._server.job(name)
            _law(job is not None and job.state.terminal, f"{name} has not ended: {_said(job)}")
            if job is not None:
                self._true(name, job, nodes)
        _law(self._server.holds_nothing(), "all has ended, and something is still held")
        for node in nodes.values():
            _law(not node.disks or node.ended, f"{node.name} still has {sorted(node.disks)}")

    def _true(self, name: str, job: Job, nodes: Mapping[str, Node]) -> None:
        """The end is what really happened in the last attempt."""
        ends = self._ends_of(name, job, nodes)
        whole = len(ends) == job.node_count
        codes = [code for code, _ in ends.values()]
        lost = (name, job.attempt) in self._lost
        if job.state is JobState.COMPLETED:
            _law(whole and not any(codes), f"{name} is Completed, its processes ended with {codes}")
        if job.state is JobState.CANCELED:
            _law(name in self._asked, f"{name} is Canceled and nobody asked for it")
        if job.state is JobState.FAILED:
            assert job.cause is not None
            self._failed(name, job.cause.code, codes, lost)
        by_themselves = whole and not any(codes) and not lost and name not in self._asked and not self.troubled
        if by_themselves:
            _law(job.state is JobState.COMPLETED, f"every process of {name} ended with 0, and it is {_said(job)}")
        self._logs(name, job, ends)

    def _failed(self, name: str, code: str, codes: list[int], lost: bool) -> None:
        match code:
            case "UserProcessFailed" | "UserProcessKilled":
                _law(any(codes), f"{name} has failed by its process, which ended with {codes}")
            case "SupervisorLost":
                _law(lost, f"{name} has lost a supervisor that lived")
            case "NodeLost":
                _law(lost or self.troubled, f"{name} has lost a node that was there")
            case "InputMissing":
                pass
            case other:
                raise Broken(f"{name} has failed with {other}")

    def _ends_of(self, name: str, job: Job, nodes: Mapping[str, Node]) -> dict[int, tuple[int, bytes]]:
        """Rank → exit code and log of the processes of the last attempt that ended by themselves."""
        found = {}
        for node in nodes.values():
            for (key, rank), (code, log) in node.ends.items():
                if key == (name, job.attempt):
                    found[rank] = (code, log)
        return found

    def _logs(self, name: str, job: Job, ends: Mapping[int, tuple[int, bytes]]) -> None:
        for rank, (_, log) in ends.items():
            kept = self._server.log_of(name, job.attempt, rank)
            _law(log.startswith(kept), f"the log of {name} is no part of what rank {rank} wrote")
            if job.state is JobState.COMPLETED:
                _law(kept == log, f"{len(log) - len(kept)} bytes of the log of {name} are lost")

    def empty(self, known: Mapping[str, ServerNode], nodes: Mapping[str, Node], machines: MemoryMachines) -> None:
        _law(not known, f"nobody works and there are still the nodes {sorted(known)}")
        _law(not machines.present, f"machines are left: {sorted(machines.present)}")
        running = [name for name, node in nodes.items() if any(disk.process.runs for disk in node.disks.values())]
        _law(not running, f"processes are left on {running}")


def _said(job: Job | None) -> str:
    if job is None:
        return "nothing"
    return f"{job.state.value}" + (f" ({job.cause.code})" if job.cause is not None else "")
