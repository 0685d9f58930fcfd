"""`mayfly backup` and `mayfly restore`: all that the server of this machine keeps, copied while it works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from mayfly.cli import progress, text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.kit import errors
from mayfly.kit.errors import Broken, Refused


@command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
def backup(run: Run, folder: Path) -> None:
    """Copy all that the server keeps into FOLDER: jobs, logs, outputs, assets, quotas, keys. Jobs go on meanwhile. Into
    a folder that holds an earlier backup, only what is new is copied. It holds secrets: keep it as you keep those."""
    made = _work(run, "make", folder)
    run.screen.data(made, lambda: [f"Backed up to {made['path']} ({text.moment(made['made_at'], run.clock.now())})."])


@command("restore")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def restore(run: Run, folder: Path) -> None:
    """Fill an empty state folder (MAYFLY_HOME) from a backup. Jobs that ran when it was made are lost to it: whatever
    still runs of them can publish nothing any more. MAYFLY_DATABASE names an empty PostgreSQL to fill instead."""
    made = _work(run, "restore", folder)
    run.screen.data(made, lambda: [f"Restored into {made['path']}. Start the server: mayfly up --detach"])


def _work(run: Run, what: str, folder: Path) -> Any:
    if run.settings.remote:
        raise Refused(
            "ServerElsewhere",
            "MAYFLY_SERVER is set: a backup is made on the server's own machine.",
            remedy="Run the command there, without MAYFLY_SERVER.",
        )
    argv = [sys.executable, "-m", "mayfly.main.backup", what]
    argv += ["--home", str(run.settings.folder), "--at", str(folder.absolute())]
    with (
        progress.Steps(run.screen) as steps,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=run.environ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "made" in told:
                return told["made"]
            if "error" in told:
                kind, code, message, remedy = told["error"]
                raise getattr(errors, kind)(code, message, remedy=remedy)
            steps(told["what"], told["done"], told["total"])
    raise Broken("BackupFailed", f"It ended with status {process.returncode} before it was done.")
