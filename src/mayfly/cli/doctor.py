"""`mayfly doctor`: whether Mayfly can work here, and what to mend first."""

from __future__ import annotations

from dataclasses import asdict

import click

from mayfly.cli import show, text
from mayfly.cli.app import Command, pass_run
from mayfly.cli.run import Run
from mayfly.client import health
from mayfly.client.connecting import Settings
from mayfly.client.doors import Place
from mayfly.client.health import Check
from mayfly.kit.errors import MayflyError

_MARKS = {"ok": "ok", "warning": "warn", "fault": "FAULT"}
_COLOURS = {"ok": "Completed", "warning": "Canceled", "fault": "Failed"}


class _AnyConfiguration(Command):
    """A configuration file that cannot be read is something to report, not to stop at."""

    def place(self, settings: Settings, *names: str | None) -> Place:
        try:
            return super().place(settings, *names)
        except MayflyError:
            return Place()


@click.command("doctor", cls=_AnyConfiguration)
@pass_run
def doctor(run: Run) -> int:
    """Check interpreter, sandbox, limits, disk, network, certificates and versions. Starts nothing; exit status 1 when
    something is wrong, with the first thing to mend and how."""
    found: list[Check] = []
    for check in health.checks(run.settings, run.clock):
        found.append(check)
        if run.screen.output == "table" and run.screen.query is None:
            run.screen.out.write(_line(run, check) + "\n")
            run.screen.out.flush()
    first = next((check for check in found if check.state == "fault"), None)
    view = {"healthy": first is None, "first_fault": asdict(first) if first else None, "checks": [*map(asdict, found)]}
    run.screen.data(view, lambda: _verdict(found, first))
    return 0 if first is None else show.ENDED_BADLY


def _line(run: Run, check: Check) -> str:
    mark = run.screen.paint(_COLOURS[check.state], f"{_MARKS[check.state]:<5}")
    return f"{mark} {check.name:<13} {text.clean(check.message)}"


def _verdict(found: list[Check], first: Check | None) -> list[str]:
    if first is not None:
        return ["", f"First to mend: {first.name}. {text.clean(first.message)}", f"Remedy: {text.clean(first.remedy)}"]
    warnings = [check for check in found if check.state == "warning"]
    hints = [f"{check.name}: {text.clean(check.remedy)}" for check in warnings]
    return ["", "Nothing is wrong." + (" It could be better:" if hints else ""), *hints]
