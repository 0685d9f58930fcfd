"""Bars of long work: on a terminal only, on standard error, and only when there is something to do."""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import TYPE_CHECKING

from mayfly.cli import text
from mayfly.cli.show import Screen

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Upload:
    """Called with what is sent, bytes so far and bytes in all; silent where nobody watches."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> None:
        if self._progress is not None:
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
        if not self._screen.err.isatty():
            return
        bars = self._progress = self._progress or self._begun()
        if key not in self._tasks:
            self._tasks[key] = bars.add_task(words, total=total)
        bars.update(self._tasks[key], description=words, completed=done)

    def _begun(self) -> Progress:
        bars: Progress = importlib.import_module("mayfly.cli.bars").of_bytes(self._screen)
        bars.start()
        return bars


class Steps:
    """Called with what is done, how many of it and how many there are; silent where nobody watches."""

    def __init__(self, screen: Screen) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        if screen.err.isatty():
            self._progress = importlib.import_module("mayfly.cli.bars").of_steps(screen)

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
