"""What the commands for all kinds of assets share: their options, their tables, and one asset shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mayfly.cli import report, text
from mayfly.cli.app import command, completing
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.client.doors import View
from mayfly.kit.errors import Invalid

_LIST = (
    Column("name", whole=True),
    Column("version", whole=True, right=True),
    Column("type"),
    Column("created"),
    Column("description"),
)

_FILE = (
    click.option("--file", "-f", type=click.Path(path_type=Path), metavar="FILE", help="The asset's YAML file."),
    click.option("--name", "-n", metavar="NAME", help="Its name, in place of the file's."),
    click.option("--version", "-v", metavar="VERSION", help="Its version; without one, the next number."),
    click.option("--description", metavar="TEXT", help="What it is."),
    click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Change a value of the file."),
    click.option("--tags", multiple=True, metavar="K=V", help="May be repeated."),
)


def file_options(function: Any) -> Any:
    """Decorator: `--file`, `--name`, `--version`, `--description`, `--set`, `--tags`; the last two both as `sets`."""

    @wraps(function)
    def merged(*args: Any, sets: tuple[str, ...], tags: tuple[str, ...], **given: Any) -> Any:
        return function(*args, sets=(*sets, *(f"tags.{tag}" for tag in tags)), **given)

    for option in reversed(_FILE):
        merged = option(merged)
    return merged


def one(kind: str) -> Callable[[Any], Any]:
    """Decorator: `--name NAME` (or the name by itself), `--version` and `--label`."""
    return lambda function: _one(function, completing(kind))


def _one(function: Any, complete: Any) -> Any:
    function = click.option("--label", "-l", metavar="LABEL", help="A label, as latest.")(function)
    function = click.option("--version", "-v", metavar="VERSION", help="A version.")(function)
    function = click.option(
        "--name", "-n", metavar="NAME", help="Its name; NAME:VERSION and NAME@LABEL too.", shell_complete=complete
    )(function)
    return click.argument("positional", metavar="[NAME]", required=False, shell_complete=complete)(function)


def chosen(
    name: str | None, positional: str | None, version: str | None, label: str | None
) -> tuple[str, str | None, str | None]:
    """Name, version and label, however they were given. Raises Invalid `UsageInvalid`."""
    if name and positional and name != positional:
        raise Invalid("UsageInvalid", f"Two names were given: '{name}' and '{positional}'.")
    whole = (name or positional or "").removeprefix("azureml:")
    if not whole:
        raise Invalid("UsageInvalid", "Which one? No name was given.", remedy="Add --name NAME.")
    bare, at, told = whole.partition("@") if "@" in whole else whole.partition(":")
    if told:
        version, label = (version, label or told) if at == "@" else (version or told, label)
    if version and label:
        raise Invalid("UsageInvalid", "--version and --label exclude each other.")
    return bare, version, label


def list_command(kind: str, noun: str) -> click.Command:
    @command("list")
    @click.option("--name", "-n", metavar="NAME", help="Only the versions of this name.")
    @click.option(
        "--max-results", "-r", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
    )
    @click.option("--include-archived", is_flag=True, help="Archived ones too.")
    @click.option("--archived-only", is_flag=True, help="Only archived ones.")
    def list_assets(run: Run, name: str | None, max_results: int, include_archived: bool, archived_only: bool) -> None:
        which = "archived" if archived_only else "all" if include_archived else "active"
        found = list(run.doors().assets(kind, name, limit=max_results, which=which))
        run.screen.data(found, lambda: _table(run, found, noun))

    list_assets.help = f"List {noun}s: the newest version of each name, or the versions of one."
    return list_assets


def show_command(
    kind: str, noun: str, more: Callable[[Run, View], list[str]] = lambda _run, _view: []
) -> click.Command:
    @command("show")
    @one(kind)
    def show(run: Run, name: str | None, positional: str | None, version: str | None, label: str | None) -> None:
        bare, version, label = chosen(name, positional, version, label)
        found = run.doors().asset(kind, bare, version=version, label=label or "latest")
        run.screen.data(found, lambda: [*details(run, found), *more(run, found)])

    show.help = f"Show one version of a {noun}; the latest where none is named."
    return show


def archive_command(kind: str, noun: str, *, restore: bool) -> click.Command:
    verb = "restore" if restore else "archive"

    @command(verb)
    @one(kind)
    def archive(run: Run, name: str | None, positional: str | None, version: str | None, label: str | None) -> None:
        bare, version, label = chosen(name, positional, version, label)
        doors = run.doors()
        if label is not None:
            version = doors.asset(kind, bare, label=label)["version"]
        changed = doors.archive(kind, bare, version, restore=restore)
        what = f"version {text.clean(version)} of {text.clean(bare)}" if version else text.clean(bare)
        run.screen.data(changed, lambda: [f"{verb.capitalize()}d {what}."])

    archive.help = (
        f"Bring an archived {noun} back."
        if restore
        else f"Hide a {noun} from lists and from latest; it goes on working."
    )
    return archive


def details(run: Run, asset: View) -> list[str]:
    facts = {
        "Name": asset["name"],
        "Version": asset["version"] + (" (archived)" if asset["archived"] else ""),
        "Type": asset["type"],
        "About": asset.get("description"),
        "Path": asset.get("path"),
        "Created": f"{text.moment(asset['created_at'], run.clock.now())} by {asset['created_by']}",
        "Tags": ", ".join(f"{key}={value}" for key, value in asset["tags"].items()),
        "Properties": ", ".join(f"{key}={value}" for key, value in asset["properties"].items()),
    }
    return [report.field(label, value) for label, value in facts.items() if value]


def made(run: Run, asset: View) -> None:
    """Say that it is registered."""
    run.screen.notes(asset.get("notes") or [])
    name, version = text.clean(asset["name"]), text.clean(asset["version"])
    run.screen.data(asset, lambda: [f"{name}, version {version}: azureml:{name}:{version}"])


def _table(run: Run, found: list[View], noun: str) -> list[str]:
    if not found:
        return [f"No {noun}s."]
    now = run.clock.now()
    rows = [
        (one["name"], one["version"], one["type"], text.ago(one["created_at"], now), one.get("description") or "")
        for one in found
    ]
    return run.screen.table(_LIST, rows)
