"""What bars of work look like. Apart from who has some (`cli.progress`), for most of them never show any."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from mayfly.cli.show import Screen


def of_bytes(screen: Screen) -> Progress:
    return _bars(screen, BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn())


def of_steps(screen: Screen) -> Progress:
    return _bars(screen, BarColumn(bar_width=30), MofNCompleteColumn())


def _bars(screen: Screen, *columns: BarColumn | DownloadColumn | TransferSpeedColumn | MofNCompleteColumn) -> Progress:
    console = Console(file=screen.err, no_color=not screen.colour_err)
    return Progress(TextColumn("{task.description}", markup=False), *columns, console=console, transient=True)
