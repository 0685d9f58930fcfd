"""The bar of an upload: on a terminal only, on standard error, and only when there is something to send."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

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

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._progress is None or total <= 0:
            return
        if what not in self._tasks:
            if not self._tasks:
                self._progress.start()
            self._tasks[what] = self._progress.add_task(text.clean(what), total=total)
        self._progress.update(self._tasks[what], completed=done)
