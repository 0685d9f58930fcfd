"""`mayfly datastore`: storage elsewhere, under a name and with its key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mayfly.cli import report, text
from mayfly.cli.app import command, completing
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.client import assetfile
from mayfly.client.doors import View
from mayfly.kit.errors import Invalid

_LIST = (Column("name", whole=True), Column("type", whole=True), Column("key"), Column("address"))


@command("create")
@click.option(
    "--file", "-f", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The datastore's YAML file."
)
@click.option("--name", "-n", metavar="NAME", help="Its name, in place of the file's.")
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Change a value of the file.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="NAME=@FILE",
    help="A credential, as account_key=@key.txt or account_key=@- for standard input: it stays out of the command line.",
)
def create(run: Run, file: Path, name: str | None, sets: tuple[str, ...], keys: tuple[str, ...]) -> None:
    """Register storage elsewhere. Its key is kept encrypted and never shown again."""
    for given in sets:
        if given.startswith("credentials."):
            raise Invalid(
                "KeyOnCommandLine",
                "A key on the command line can be read by every process of this machine.",
                remedy="Write it into the file, or give --key account_key=@FILE.",
            )
    run.screen.locate = lambda fault: fault.message
    read = assetfile.read(file, {"name": name}, sets)
    run.screen.locate = read.locate
    definition = read.definition
    if keys:
        definition = {**definition, "credentials": {**(definition.get("credentials") or {}), **_keys(keys)}}
    made = run.doors().put_datastore(definition)
    run.screen.data(
        made, lambda: [f"{text.clean(made['name'])}: azureml://datastores/{text.clean(made['name'])}/paths/…"]
    )


def _keys(given: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for one in given:
        name, equals, place = one.partition("=@")
        if not equals or not name or not place:
            raise Invalid("UsageInvalid", "--key is NAME=@FILE.", remedy="As in --key account_key=@key.txt.")
        content = sys.stdin.read() if place == "-" else Path(place).expanduser().read_text(encoding="utf-8")
        found[name] = content.strip()
    return found


@command("list")
def list_datastores(run: Run) -> None:
    """List datastores, Mayfly's own first."""
    found = run.doors().datastores()

    def human() -> list[str]:
        rows = [(one["name"], one["type"], "yes" if one["has_credentials"] else "", one["address"]) for one in found]
        return run.screen.table(_LIST, rows)

    run.screen.data(found, human)


def _named(function: Any) -> Any:
    complete = completing("datastore")
    function = click.argument("positional", metavar="[NAME]", required=False, shell_complete=complete)(function)
    return click.option("--name", "-n", metavar="NAME", help="Its name.", shell_complete=complete)(function)


def _one(name: str | None, positional: str | None) -> str:
    chosen = name or positional
    if not chosen:
        raise Invalid("UsageInvalid", "Which datastore? No name was given.", remedy="See mayfly datastore list.")
    return chosen


@command("show")
@_named
def show(run: Run, name: str | None, positional: str | None) -> None:
    """Show one datastore, without its key."""
    found = run.doors().datastore(_one(name, positional))
    run.screen.data(found, lambda: _details(found))


@command("delete")
@_named
def delete(run: Run, name: str | None, positional: str | None) -> None:
    """Forget a datastore and its key. What lies in it stays where it is."""
    chosen = _one(name, positional)
    run.doors().delete_datastore(chosen)
    run.screen.data({"name": chosen}, lambda: [f"{text.clean(chosen)} is forgotten."])


def _details(found: View) -> list[str]:
    facts = {
        "Name": found["name"] + (" (the default)" if found["is_default"] else ""),
        "Type": found["type"],
        "Address": found["address"],
        "Key": "kept encrypted" if found["has_credentials"] else "none",
    }
    return [report.field(label, value) for label, value in facts.items()]
