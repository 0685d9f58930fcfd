"""A pipeline that is being watched: its steps as they change. A terminal is shown the whole graph anew, anything else a line
for each change. A step that failed brings the last lines of its log."""

from __future__ import annotations

from collections.abc import Callable

from mayfly.cli import report, text
from mayfly.cli.show import Screen
from mayfly.client.doors import Doors, View
from mayfly.kit.errors import MayflyError

_LINES = 10
"""Of a failed step's log."""
_BYTES = 8192
_MOST = 40
"""Steps in a live picture; a longer one would leave the screen."""


class Tree:
    def __init__(self, screen: Screen, doors: Callable[[], Doors]) -> None:
        self._screen = screen
        self._doors = doors
        self._shown: dict[str, tuple[str, str]] = {}
        self._height = 0

    def see(self, job: View, ended: bool) -> None:
        steps = report.steps_by_path(job.get("steps") or [])
        live = self._screen.colour_err and len(steps) <= _MOST
        if live:
            self._wipe()
        for path, step in steps.items():
            state = (step["status"], step.get("phase") or "")
            if self._shown.get(path, ("NotStarted", "")) == state:
                continue
            before, self._shown[path] = self._shown.get(path), state
            if not live and step["status"] != "NotStarted":
                self._line(job, path, step)
            if step["status"] == "Failed" and (before is None or before[0] != "Failed") and not step.get("steps"):
                self._last_lines(path, step)
        if live and not ended:
            self._picture(job)

    def _line(self, job: View, path: str, step: View) -> None:
        reason = step.get("reason") or ""
        doing = f": {reason or step.get('phase')}" if step["status"] not in ("Completed", "Skipped") else ""
        doing = ": reused" if step.get("reused") else doing
        self._screen.dim(f"[{text.span(report.total(job)):>8}] {path} {step['status']}{doing}")

    def _picture(self, job: View) -> None:
        lines = text.table(report.STEPS, report.step_rows(job.get("steps") or []), self._screen.width)
        for line in lines:
            self._screen.dim(line)
        self._height = len(lines)

    def _wipe(self) -> None:
        if self._height:
            self._screen.up(self._height)
            self._height = 0

    def _last_lines(self, path: str, step: View) -> None:
        for line in last_lines(self._doors(), str(step.get("job") or "")):
            self._screen.note(f"  {path} | {line}")


def last_lines(doors: Doors, job: str) -> list[str]:
    """The end of a job's own log; nothing where there is none."""
    try:
        logs = {
            one["file"]: one["size"] for one in doors.logs(job) if one["file"].rpartition("/")[2].startswith("std_log")
        }
        if not logs:
            return []
        file, size = sorted(logs.items())[0]
        with doors.log(job, file, max(0, size - _BYTES)) as chunks:
            return b"".join(chunks).decode("utf-8", "replace").splitlines()[-_LINES:]
    except MayflyError:
        return []
