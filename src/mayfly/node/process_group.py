"""All processes of an attempt on this node: the user that they run as, the limits that they share, who looks after each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mayfly.node import plan, uids
from mayfly.node.ahead import Interpreter, Wanted, unprepared, wanted
from mayfly.node.disk import read_json, write_json
from mayfly.node.folders import AttemptFolder
from mayfly.node.inputs import remount
from mayfly.node.launch import Supervised
from mayfly.node.limits import Group
from mayfly.node.materialise import Materialised
from mayfly.node.mounts import Mount
from mayfly.node.process_files import marker, write_process_files, write_taken_file
from mayfly.node.workplace import USER, Workplace
from mayfly.transfer.removal import remove_tree
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
        self._group: str = (read_json(folder.record("group")) or {}).get("group", "")
        """The name of its control groups, where it is not its own."""
        self.start_note = ""
        """Whether its start was prepared, where there is something to say."""
        self._assignment, self._folder, self._around = assignment, folder, around

    @property
    def _name(self) -> str:
        fence = self._assignment.fence
        return self._group or f"{self._around.node.node}-{fence.job}-{fence.attempt}"

    @property
    def _kept(self) -> tuple[int, ...]:
        """Descriptors that their supervisors hold: the node's lock, and their user's."""
        return (*self._around.keep, *([self._uid_lock] if self._uid_lock >= 0 else []))

    @property
    def taken(self) -> bool:
        """Whether its process is one that was made ahead."""
        return any(one.taken for one in self.supervised)

    def prepare(self, ready: Materialised, go: Go, mount: Mount) -> None:
        """All of the launch but the commands: their sandboxes stand, and wait. Nothing where that was done for this very
        grant, or where all had begun; what was prepared for another goes."""
        if self._prepared == go:
            return
        self.abandon()
        processes = plan.processes(self._assignment, go)
        asked, ahead = self._wanted(ready), None
        if not self._folder.record("launch").exists():
            ahead, self.start_note = self._around.ahead.take(asked)
        if ahead is not None:
            self.leave()
            self.uid, self._uid_lock, self._group = ahead.uid, ahead.uid_lock, ahead.name
            ahead.lent = True
        try:
            if ahead is not None:  # or an agent that comes after us would not know of the group
                write_json(self._folder.record("group"), {"group": self._group})
            limits = self._enter(processes)
            if self._folder.record("launch").exists() and all(one.ever_began for one in self.supervised):
                return
            remount(self._assignment, self._folder, mount, ready.streamed, self._around.keep)
            write_process_files(self._around, self._assignment, self._folder, processes, ready, limits, go, self.uid)
            if ahead is not None and asked is not None:
                self._take(ahead, asked, ready)
        finally:
            if ahead is not None and not self.taken:
                ahead.end()
        for one in self.supervised:
            one.prepare(self._around.nursery, self._kept)
        self._prepared = go

    def _wanted(self, ready: Materialised) -> Wanted | None:
        if ready.overlay is None or ready.image:
            return None
        outputs = plan.output_paths(self._assignment, self._folder)
        return wanted(
            self._assignment,
            plan.command(self._assignment, {**self._assignment.literals, **ready.inputs}, outputs),
            self._folder.code,
            Path(ready.overlay[0]),
            USER,
            self._around.variables,
            os.cpu_count() or 1,
        )

    def _take(self, ahead: Interpreter, asked: Wanted, ready: Materialised) -> None:
        """Have the process be the one that was made ahead, if that works."""
        why = write_taken_file(self._assignment, self._folder, ready, ahead, asked.opening)
        if not why and self.supervised[0].take(ahead.hand, self._kept):
            for name in ahead.movable:
                remove_tree(self._folder.root / name)
                (ahead.root / name).rename(self._folder.root / name)
            ahead.leave()
            self.start_note = f"Its start was prepared: {', '.join(asked.opening.packages)} had been imported ahead."
            return
        if why:
            self._around.ahead.unfit(asked.kind, why)
        self.start_note = unprepared(why or "what was prepared had ended")

    def start(self) -> None:
        """Let each process run; one whose stop came first never does."""
        taken = self.taken
        for one in self.supervised:
            if self._folder.record("stop").exists():
                one.abandon()
            else:
                one.start(self._around.nursery, self._kept)
            self._folder.supervisor_lock(one.index).touch()
        if taken and not self.taken:
            self.start_note = unprepared("what was prepared ended before its start")

    def abandon(self) -> None:
        """Nothing of what was prepared will run, and no empty log is left of it."""
        taken = self.taken
        for one in self.supervised:
            one.abandon()
        for process in plan.processes(self._assignment, self._prepared) if self._prepared else ():
            log = self._folder.root / process.log
            if log.exists() and (taken or not log.stat().st_size):
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
