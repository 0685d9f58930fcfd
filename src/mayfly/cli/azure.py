"""`mayfly exec` and `mayfly env`: Azure's unmodified SDK against this server."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping

import click

from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.client import azure, connecting
from mayfly.client.azure import NAMES, Variables
from mayfly.kit.errors import Invalid, NotFound, Refused

_KEPT = "MAYFLY_KEPT_"
"""Begins the names under which `mayfly env` remembers what was set before."""


@command("exec")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND…")
def execute(run: Run, words: tuple[str, ...]) -> int:
    """Run a command whose Azure ML SDK speaks to this server: mayfly exec -- python submit.py

    The script stays as it is. The variables that lead Azure's clients here are set for this command alone.
    """
    if not words:
        raise Invalid("UsageInvalid", "Which command? None was given.", remedy="mayfly exec -- python submit.py")
    found = _variables(run)
    if found.dropped:
        run.screen.note(f"{', '.join(found.dropped)}: not handed on, they are credentials for the real Azure.")
    environ = {key: value for key, value in run.environ.items() if key not in found.dropped} | dict(found.values)
    program = sys.executable if words[0] == "python" and not _findable("python", environ) else words[0]
    try:
        if os.name == "posix":
            os.execvpe(program, [program, *words[1:]], environ)
        return subprocess.run([program, *words[1:]], env=environ, check=False).returncode
    except FileNotFoundError as error:
        raise NotFound("CommandNotFound", f"There is no command '{words[0]}'.", remedy="Is it on your PATH?") from error
    except PermissionError as error:
        raise Invalid(
            "CommandNotExecutable", f"'{words[0]}' cannot be run.", remedy=f"mayfly exec -- python {words[0]}"
        ) from error


@command("env")
@click.option("--shell", type=click.Choice(["sh", "fish", "powershell"]), help="Whose language (default: $SHELL's).")
@click.option("--unset", is_flag=True, help="Print what takes them back.")
def env(run: Run, shell: str | None, unset: bool) -> None:
    """Print the variables that lead Azure's clients to this server, for a shell: eval "$(mayfly env)"

    `mayfly exec` needs none of this. They hold a token: do not write them into files that others read.
    """
    write = _SHELLS[shell or ("fish" if run.environ.get("SHELL", "").endswith("fish") else "sh")]
    values: dict[str, str | None]
    if unset:
        ours = [name for name in NAMES if name in run.environ]
        values = {name: run.environ.get(_KEPT + name) for name in ours}
        values |= dict.fromkeys(_KEPT + name for name in NAMES if _KEPT + name in run.environ)
    else:
        found = _variables(run)
        before = {
            name: run.environ[name]
            for name in found.values
            if run.environ.get(name, found.values[name]) != found.values[name]
        }
        values = {_KEPT + name: value for name, value in before.items() if _KEPT + name not in run.environ}
        values |= {**found.values, **dict.fromkeys(found.dropped)}
    run.screen.data(values, lambda: [write(name, value) for name, value in values.items()])


def _variables(run: Run) -> Variables:
    if run.settings.remote:
        raise Refused(
            "RemoteUnsupported",
            "These variables are only made for the server of this machine.",
            remedy="Unset MAYFLY_SERVER, or run the script on the server's machine.",
        )
    record = connecting.local(run.settings, run.clock, run.screen.note)
    return azure.variables(record, run.environ, run.settings.folder / "tls")


def _findable(name: str, environ: Mapping[str, str]) -> bool:
    return any(os.access(f"{folder}/{name}", os.X_OK) for folder in environ.get("PATH", "").split(os.pathsep))


def _sh(name: str, value: str | None) -> str:
    return f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str | None) -> str:
    if value is None:
        return f"set -e {name}"
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str | None) -> str:
    if value is None:
        return f"Remove-Item Env:{name} -ErrorAction SilentlyContinue"
    quoted = value.replace("'", "''")
    return f"$Env:{name} = '{quoted}'"


_SHELLS: dict[str, Callable[[str, str | None], str]] = {"sh": _sh, "fish": _fish, "powershell": _powershell}
