"""Watching one job: its phases as they happen, the log of every rank, and the report at the end."""

from __future__ import annotations

import re

from mayfly.cli import report, show, text
from mayfly.cli.run import Run
from mayfly.cli.tree import Tree
from mayfly.client.doors import ENDED, Doors, View
from mayfly.client.following import Away, Back, Following, JobSeen, LogPiece
from mayfly.kit.errors import MayflyError

_PROGRESS_MS = 5000
"""Not more often than this is said how far a phase is."""
_RANK = re.compile(r"std_log(?:_process_|_)(.+)\.txt\Z")
_OTHER = re.compile(r"(?:\d+_)?(.+?)(?:_log)?\.\w+\Z")


def watch(run: Run, doors: Doors, name: str) -> int:
    """Follow the job until it has ended, print its report; the exit status. Ctrl-C leaves the job alone."""
    screen = run.screen
    following = Following(name, doors, run.doors_again)
    watcher = _Watcher(run, following)
    try:
        for seen in following.events():
            watcher.see(seen)
    except KeyboardInterrupt:
        screen.break_line()
        screen.note("")
        screen.note(f"The job '{name}' goes on.")
        screen.note(f"  back to it:  mayfly job stream -n {name}")
        screen.note(f"  cancel it:   mayfly job cancel -n {name}")
        return show.INTERRUPTED
    job = watcher.job
    screen.end_logs(watcher.prefixes)
    if job is None:
        return show.ENDED_BADLY
    why = "" if job.get("steps") else _why(following.doors, job)
    screen.data(job, lambda: ["", *(_coloured(run, line) for line in _report(run, job, why))])
    return 0 if job["status"] == "Completed" else show.ENDED_BADLY


def _report(run: Run, job: View, why: str) -> list[str]:
    lines = report.final_report(job, why, run.screen.width)
    if steps := job.get("steps"):
        return [*lines, "", *run.screen.table(report.STEPS, report.step_rows(steps))]
    return lines


class _Watcher:
    def __init__(self, run: Run, following: Following) -> None:
        self._run = run
        self._tree = Tree(run.screen, lambda: following.doors)
        self.job: View | None = None
        self.prefixes: dict[str, str] = {}
        self._shown: tuple[str, str, str] | None = None
        self._said: tuple[str, int] = ("", 0)
        """How far the phase was when that was last shown, and when."""

    def see(self, seen: LogPiece | JobSeen | Away | Back) -> None:
        screen = self._run.screen
        if isinstance(seen, LogPiece):
            screen.log(seen.file, seen.text, self._prefix(seen.file))
        elif isinstance(seen, JobSeen):
            self.job = seen.job
            if seen.job.get("type") == "pipeline":
                self._tree.see(seen.job, seen.ended)
            else:
                self._phase(seen.job, seen.ended)
        elif isinstance(seen, Away):
            screen.break_line()
            screen.note(f"The server is away ({seen.reason.rstrip('.')}); the job goes on, waiting for the server …")
        else:
            screen.note("The server is back.")

    def _phase(self, job: View, ended: bool) -> None:
        """A line for each change; the reason only when it is another than the one just said, how far it is only now
        and then."""
        screen, reason = self._run.screen, job.get("status_reason") or ""
        state = (job["status"], job["phase"], reason)
        detail, now = text.clean(job.get("phase_detail") or ""), self._run.clock.now()
        further = bool(detail) and detail != self._said[0] and now - self._said[1] >= _PROGRESS_MS
        if ended or (state == self._shown and not further) or job["status"] in ENDED:
            return
        self._said = (detail, now)
        news = f" ({reason})" if reason and (self._shown is None or reason != self._shown[2]) else ""
        self._shown = state
        screen.break_line()
        screen.dim(
            f"[{text.span(report.total(job)):>8}] {job['status']}: {job['phase']}{': ' if detail else ''}{detail}{news}"
        )

    def _prefix(self, file: str) -> str:
        """'' for a job of one process, else the rank (or the file's name) in brackets."""
        if file not in self.prefixes:
            match = _RANK.search(file)
            several = bool(self.job and int(self.job.get("instance_count") or 1) > 1) or match is not None
            base = file.rpartition("/")[2]
            other = _OTHER.match(base)
            name = match[1] if match else other[1].replace("_", " ") if other else base
            self.prefixes[file] = f"[{text.clean(name)}] " if several or self._other(file) else ""
        return self.prefixes[file]

    def _other(self, file: str) -> bool:
        """Whether another file than the job's own log is shown, such as one of the system's."""
        return file.rpartition("/")[2] != "std_log.txt"


def _why(doors: Doors, job: View) -> str:
    """Why it got its size, in a sentence; '' when the server cannot say it any more."""
    try:
        return doors.explanation(job["name"]).get("sentence") or ""
    except MayflyError:
        return ""


def _coloured(run: Run, line: str) -> str:
    label, space, rest = line.partition(" ")
    if label == "Status":
        status = rest.split()[0] if rest.split() else ""
        rest = rest.replace(status, run.screen.paint(status, status), 1)
    return run.screen.paint("bold", label) + space + rest if label else line
