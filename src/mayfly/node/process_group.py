"""All processes of an attempt on this node: the user that they run as, the limits that they share, who looks after each."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mayfly.node import plan, uids
from mayfly.node.disk import read_json
from mayfly.node.folders import AttemptFolder
from mayfly.node.inputs import remount
from mayfly.node.launch import Supervised
from mayfly.node.limits import Group
from mayfly.node.materialise import Materialised
from mayfly.node.mounts import Mount
from mayfly.node.process_files import marker, write_process_files
from mayfly.node.workplace import Workplace
from mayfly.wire.agent import Assignment, Go


class ProcessGroup:
    def __init__(self, assignment: Assignment, folder: AttemptFolder, around: Workplace) -> None:
        self.supervised: list[Supervised] = []
        """By their index; [] until it is known which there are."""
        self.limits: Group | None = None
        self.uid = 0
        """The user, 0 for the agent's own."""
        self._uid_lock = -1
        self._prepared: Go | None = None
        """The grant that their sandboxes were made for."""
        self._assignment, self._folder, self._around = assignment, folder, around

    @property
    def _name(self) -> str:
        fence = self._assignment.fence
        return f"{self._around.node.node}-{fence.job}-{fence.attempt}"

    @property
    def _kept(self) -> tuple[int, ...]:
        """Descriptors that their supervisors hold: the node's lock, and their user's."""
        return (*self._around.keep, *([self._uid_lock] if self._uid_lock >= 0 else []))

    def prepare(self, ready: Materialised, go: Go, mount: Mount) -> None:
        """All of the launch but the commands: their sandboxes stand, and wait. Nothing where that was done for this very
        grant, or where all had begun; what was prepared for another goes."""
        if self._prepared == go:
            return
        self.abandon()
        processes = plan.processes(self._assignment, go)
        limits = self._enter(processes)
        if self._folder.record("launch").exists() and all(one.ever_began for one in self.supervised):
            return
        remount(self._assignment, self._folder, mount, ready.streamed, self._around.keep)
        write_process_files(self._around, self._assignment, self._folder, processes, ready, limits, go, self.uid)
        for one in self.supervised:
            one.prepare(self._around.nursery, self._kept)
        self._prepared = go

    def start(self) -> None:
        """Let each process run; one whose stop came first never does."""
        for one in self.supervised:
            if self._folder.record("stop").exists():
                one.abandon()
            else:
                one.start(self._around.nursery, self._kept)
            self._folder.supervisor_lock(one.index).touch()

    def abandon(self) -> None:
        """Nothing of what was prepared will run, and no empty log is left of it."""
        for one in self.supervised:
            one.abandon()
        for process in plan.processes(self._assignment, self._prepared) if self._prepared else ():
            log = self._folder.root / process.log
            if log.exists() and not log.stat().st_size:
                log.unlink()
        self.supervised, self._prepared = [], None

    def kill(self) -> None:
        """Whatever of it lives."""
        in_group = self.limits is not None and bool(self.limits.folders)
        for one in self.supervised:
            # a sandbox of its own shows its processes no group to leave to
            one.kill(gathered=in_group and self._around.strategy.remaps)
        group = self._around.machine.group(self._name)
        group.kill()
        group.remove()

    def leave(self) -> None:
        """Its user is free for others."""
        if self._uid_lock >= 0:
            os.close(self._uid_lock)
            self._uid_lock = -1

    def _enter(self, processes: Sequence[plan.Process]) -> Group:
        if self._around.strategy.separate_user and self._uid_lock < 0:
            known = (read_json(self._folder.record("launch")) or {}).get("uid", 0)
            self.uid, self._uid_lock = (known, uids.take_again(known)) if known else uids.take()
        self.limits = self._around.machine.make(self._name, self._assignment.limits)
        node = self._around.node.node
        self.supervised = [
            Supervised(self._folder, process.index, marker(node, self._assignment, process.index))
            for process in processes
        ]
        return self.limits
