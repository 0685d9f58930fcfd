"""`mayfly component`: commands with named inputs and outputs, registered to be used in jobs."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from mayfly.cli import assets, submit, text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.client import jobfile
from mayfly.client.doors import View

_KIND, _NOUN = "component", "component"


@command("create")
@click.option(
    "--file", "-f", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The component's YAML file."
)
@click.option("--name", "-n", metavar="NAME", help="Its name, in place of the file's.")
@click.option("--version", "-v", metavar="VERSION", help="Its version; without one, the next number.")
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Change a value of the file.")
def create(run: Run, file: Path, name: str | None, version: str | None, sets: tuple[str, ...]) -> None:
    """Register a component with its code. A version means one definition for ever."""
    given = [f"{key}={value!r}" for key, value in (("name", name), ("version", version)) if value is not None]
    run.screen.locate = lambda fault: fault.message
    made = jobfile.read_component(file, [*sets, *given])
    run.screen.locate = made.locate
    made.check()
    doors = run.doors()
    assets.made(run, doors.create_component(submit.prepare(run, made, doors)))


list_components = assets.list_command(_KIND, _NOUN)
archive = assets.archive_command(_KIND, _NOUN, restore=False)
restore = assets.archive_command(_KIND, _NOUN, restore=True)


def _definition(_run: Run, view: View) -> list[str]:
    shown = yaml.safe_dump(view["definition"].get("component", {}), sort_keys=False, allow_unicode=True)
    return ["", *(text.clean(line) for line in shown.splitlines())]


show = assets.show_command(_KIND, _NOUN, _definition)
