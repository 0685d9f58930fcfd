"""`mayfly registry`: folders of asset files, by the names that `azureml://registries/NAME/…` has for them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mayfly.cli import text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.client import configuration
from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Invalid, NotFound, nearest
from mayfly.transfer import registry

_LIST = (Column("name", whole=True), *(Column(kind.value, right=True) for kind in AssetKind), Column("folder"))
_ASSETS = (Column("kind"), Column("name", whole=True), Column("version", whole=True, right=True), Column("file"))


@command("add")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
def add(run: Run, name: str, folder: Path) -> None:
    """Give a folder of asset files, such as a Git checkout, the name of a registry.

    Jobs then use what is in it as azureml://registries/NAME/components/ASSET/labels/latest, and likewise its
    environments, models and data.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise Invalid("RegistryNotAFolder", f"There is no folder '{folder}'.")
    if "/" in name or not name.strip():
        raise Invalid("RegistryNameInvalid", f"{name!r} cannot name a registry.", remedy="Use letters, digits and '-'.")
    configuration.put(run.settings.folder, f"registries.{name}", json.dumps(str(folder)))
    told = _counted(run, name, folder)
    found = ", ".join(f"{told[kind.value]} {_word(kind, told[kind.value])}" for kind in AssetKind)
    run.screen.data(told, lambda: [f"{text.clean(name)}: {text.clean(folder)} ({found})"])


@command("list")
def list_registries(run: Run) -> None:
    """List the registries, and how many assets each has."""
    known = configuration.load(run.settings.folder).registries
    found = [_counted(run, name, Path(folder)) for name, folder in known.items()]
    none = ["No registries. Add one: mayfly registry add NAME FOLDER"]
    rows = [tuple(one.values()) for one in found]
    run.screen.data(found, lambda: run.screen.table(_LIST, rows) if rows else none)


@command("show")
@click.argument("name")
def show(run: Run, name: str) -> None:
    """List the assets of a registry."""
    folder = Path(_folder(run, name))
    found = [
        {
            "kind": kind.value,
            "name": one.body["name"],
            "version": one.version,
            "file": str(one.path.relative_to(folder)),
        }
        for kind in AssetKind
        for one in registry.assets(name, folder, kind, run.settings.folder)
    ]
    none = [f"Nothing in {text.clean(folder)} is an asset's file."]
    rows = [tuple(one.values()) for one in found]
    run.screen.data(found, lambda: run.screen.table(_ASSETS, rows) if rows else none)


@command("remove")
@click.argument("name")
def remove(run: Run, name: str) -> None:
    """Take a registry's name away; its folder stays as it is."""
    _folder(run, name)
    configuration.drop(run.settings.folder, f"registries.{name}")
    run.screen.data({"name": name}, lambda: [f"{text.clean(name)} is no registry any more."])


def _folder(run: Run, name: str) -> str:
    known = configuration.load(run.settings.folder).registries
    if name not in known:
        near = nearest(name, list(known))
        raise NotFound(
            "RegistryNotFound",
            f"There is no registry '{name}'.",
            remedy=f"Did you mean '{near}'?" if near else "See mayfly registry list.",
        )
    return known[name]


def _word(kind: AssetKind, count: object) -> str:
    return kind.value if count == 1 or kind is AssetKind.DATA else f"{kind.value}s"


def _counted(run: Run, name: str, folder: Path) -> dict[str, object]:
    assets = {kind.value: registry.assets(name, folder, kind, run.settings.folder) for kind in AssetKind}
    counts = {kind: sum(1 for _ in found) for kind, found in assets.items()}
    return {"name": name, **counts, "folder": str(folder)}
