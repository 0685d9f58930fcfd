"""Bars of long work: on a terminal only, on standard error, and only when there is something to do."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from mayfly.cli import text
from mayfly.cli.show import Screen


class Upload:
    """Called with what is sent, bytes so far and bytes in all; silent where nobody watches."""

    def __init__(self, screen: Screen) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if screen.err.isatty():
            console = Console(file=screen.err, no_color=not screen.colour_err)
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> None:
        if self._progress is not None and self._tasks:
            self._progress.stop()

    def looking(self, files: int) -> None:
        """How many files were looked at so far; gone when something is sent."""
        self._task("looking", f"{files} files looked at", None, 0)

    def __call__(self, what: str, done: int, total: int) -> None:
        if total <= 0:
            return
        if self._progress is not None and "looking" in self._tasks:
            self._progress.update(self._tasks["looking"], visible=False)
        self._task(what, text.clean(what), total, done)

    def _task(self, key: str, words: str, total: int | None, done: int) -> None:
        if self._progress is None:
            return
        if key not in self._tasks:
            if not self._tasks:
                self._progress.start()
            self._tasks[key] = self._progress.add_task(words, total=total)
        self._progress.update(self._tasks[key], description=words, completed=done)


class Steps:
    """Called with what is done, how many of it and how many there are; silent where nobody watches."""

    def __init__(self, screen: Screen) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        if screen.err.isatty():
            columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=30), MofNCompleteColumn())
            console = Console(file=screen.err, no_color=not screen.colour_err)
            self._progress = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Steps:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._progress is None or not total:
            return
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
