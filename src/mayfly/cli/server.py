"""`mayfly up`, `mayfly down`, `mayfly status`: the server of this machine."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from mayfly.cli import report, text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.client import embedded
from mayfly.client.connecting import answers, open_session
from mayfly.client.doors import Doors, View
from mayfly.client.home import SERVER_LOG, ServerRecord, read_record
from mayfly.kit.errors import Broken, Invalid, MayflyError, Unavailable

_PAUSE_S = 0.1
_STOP_WITHIN_MS = 60_000


@command("up")
@click.option("--detach", "-d", is_flag=True, help="Return as soon as the server is ready.")
@click.option(
    "--database",
    metavar="URL",
    help="A PostgreSQL database instead of SQLite in the state folder; remembered. 'sqlite' goes back. "
    "MAYFLY_DATABASE says the same and keeps a password off the command line.",
)
def up(run: Run, detach: bool, database: str | None) -> int:
    """Start the server of this machine and stay with it; Ctrl-C stops it as `mayfly down` does."""
    folder, screen = run.settings.folder, run.screen
    environ = {**run.environ, "MAYFLY_DATABASE": database} if database else run.environ
    if not detach:
        for name in ("SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), _interrupt)
    log_begins = _size(folder / SERVER_LOG)
    started = embedded.ensure(folder, environ, run.clock, answers, notice=screen.note)
    embedded.check_version(started.record)
    if started.process is None:
        _say_where(run, started.record, "already runs")
        if started.record.automatic:
            screen.note("A command started it: it ends after 30 idle minutes. To keep it: mayfly down && mayfly up")
        return 0
    if run.settings.remote:
        screen.note("MAYFLY_SERVER is set: the other commands talk to that server, not to this one.")
    if detach:
        _say_where(run, started.record, "is ready")
    return 0 if detach else _stay(run, started.record, started.process, log_begins)


@command("down")
@click.option("--drain", is_flag=True, help="Take no new jobs and wait until all have ended.")
@click.option("--cancel-jobs", is_flag=True, help="Cancel all jobs first.")
def down(run: Run, drain: bool, cancel_jobs: bool) -> None:
    """Stop the server. Jobs that run go on without it, and it says which and until when."""
    if drain and cancel_jobs:
        raise Invalid("UsageInvalid", "--drain and --cancel-jobs exclude each other.")
    try:
        doors = run.running_doors()
    except Unavailable as error:
        if error.code != "ServerNotRunning":
            raise
        nothing = text.clean(error.message)
        run.screen.data({"continuing": [], "until": ""}, lambda: [nothing])
        return
    mode = "drain" if drain else "cancel-jobs" if cancel_jobs else "stop"
    record = None if run.settings.remote else read_record(run.settings.folder)
    view = doors.down(mode)
    if drain and view["continuing"] and view.get("waits", True):
        run.screen.note(f"Waiting until {len(view['continuing'])} jobs have ended: {', '.join(view['continuing'])}")
    if record is not None:
        _wait_until_gone(run, record, None if mode != "stop" else _STOP_WITHIN_MS)
    run.screen.data(view, lambda: _farewell(view, mode))


@command("status")
def status(run: Run) -> None:
    """Show the server. Starts nothing; exit status 5 when none runs."""
    doors = run.running_doors()
    view = {"url": doors.session.base_url, **doors.server()}
    run.screen.data(view, lambda: _status(run, view))


def _stay(run: Run, record: ServerRecord, process: subprocess.Popen[bytes], log_begins: int) -> int:
    """In the foreground: the server's log on standard error until it ends, or until Ctrl-C (TERM and HUP do the same)."""
    try:
        _say_where(run, record, "is ready")
        run.screen.note("Ctrl-C stops it.")
        _tail(run, process, run.settings.folder / SERVER_LOG, log_begins)
    except KeyboardInterrupt:
        return _stop(run, record, process)
    if process.returncode:
        raise Broken(
            "ServerEnded",
            f"The server ended with status {process.returncode}.",
            remedy=f"Read {run.settings.folder / SERVER_LOG}; running jobs go on, `mayfly up` takes them over.",
        )
    return 0


def _tail(run: Run, process: subprocess.Popen[bytes], log: Path, begins: int) -> None:
    with log.open("rb") as file:
        file.seek(begins)
        safe = text.LogText(run.screen.colour_err)
        while True:
            ended = process.poll() is not None
            if piece := file.read():
                run.screen.err.write(safe.feed(piece.decode("utf-8", "replace")))
                run.screen.err.flush()
            if ended:
                return
            time.sleep(_PAUSE_S)


def _stop(run: Run, record: ServerRecord, process: subprocess.Popen[bytes]) -> int:
    run.screen.note("")
    try:
        with open_session(record) as session:
            view = Doors(session, run.place).down("stop")
        for line in _farewell(view, "stop"):
            run.screen.note(line)
    except MayflyError as error:
        if process.poll() is None:
            run.screen.note(f"The server does not answer ({error.message.rstrip('.')}); it is asked to end.")
            process.terminate()
    process.wait(timeout=_STOP_WITHIN_MS / 1000)
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _wait_until_gone(run: Run, record: ServerRecord, within_ms: int | None) -> None:
    """Raises Broken `ServerStillRuns`."""
    began = run.clock.now()
    while record.alive():
        now = read_record(run.settings.folder)
        if (now is None and embedded.released(run.settings.folder)) or (now is not None and now.pid != record.pid):
            return
        if within_ms is not None and run.clock.now() - began > within_ms:
            raise Broken(
                "ServerStillRuns",
                f"The server (process {record.pid}) has not ended within {within_ms // 1000} s.",
                remedy=f"Look into {run.settings.folder / SERVER_LOG}; `kill {record.pid}` ends it, jobs go on.",
            )
        time.sleep(_PAUSE_S)


def _say_where(run: Run, record: ServerRecord, what: str) -> None:
    view = {
        "url": record.url,
        "pid": record.pid,
        "version": record.version,
        "state_folder": str(run.settings.folder),
        "automatic": record.automatic,
    }
    run.screen.data(view, lambda: [f"Mayfly {what} at {record.url} (state in {run.settings.folder})."])


def _farewell(view: View, mode: str) -> list[str]:
    jobs: Sequence[str] = view["continuing"]
    if mode == "drain" and view.get("waits", True):
        return ["The server has stopped; every job had ended."]
    if not jobs:
        return ["The server has stopped; no job is running."]
    lines = [f"The server has stopped. {len(jobs)} job{'s go' if len(jobs) > 1 else ' goes'} on: {', '.join(jobs)}"]
    lines.append(f"Until: {view['until']}")
    return lines if view.get("taken_over") else [*lines, "`mayfly up` takes them over."]


def _status(run: Run, view: View) -> list[str]:
    jobs = ", ".join(f"{count} {state}" for state, count in view["jobs"].items() if count) or "none unfinished"
    automatic = " (started by a command, ends when idle)" if view.get("automatic") else ""
    return [
        report.field("Server", f"{view['url']}, Mayfly {view['version']}{automatic}"),
        report.field("Since", text.moment(view["started_at"], run.clock.now())),
        report.field("State", view["state_folder"]),
        report.field("Database", " ".join([view["database"], *_beside(view)])),
        report.field("Jobs", jobs),
        report.field("Nodes", view["nodes"]),
        report.field("Isolated", " ".join(filter(None, [view["isolation"], view.get("isolation_note")]))),
    ]


def _beside(view: View) -> list[str]:
    others = view.get("others", [])
    return [f"(shared with {', '.join(others)})"] if others else []


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0
