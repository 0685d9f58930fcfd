"""`mayfly data` and `mayfly model`: what jobs read and what they learned, under a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mayfly.cli import assets, text
from mayfly.cli.app import command
from mayfly.cli.progress import Upload
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.client import assetfile, sending
from mayfly.client.doors import Doors, View
from mayfly.client.home import cache_folder
from mayfly.spec import assets as spec
from mayfly.spec.assets import DataAsset, ModelAsset
from mayfly.spec.paths import Refers, refers

_USED = (
    Column("job", whole=True),
    Column("as", whole=True),
    Column("version", right=True),
    Column("reference"),
)


def _create(kind: str, shape: type[DataAsset] | type[ModelAsset], noun: str) -> click.Command:
    @command("create")
    @assets.file_options
    @click.option("--path", "-p", metavar="PATH", help="A local file or folder, or an address.")
    @click.option("--type", "-t", "type", metavar="TYPE", help="As in the file.")
    def create(
        run: Run,
        file: Path | None,
        name: str | None,
        version: str | None,
        description: str | None,
        sets: tuple[str, ...],
        path: str | None,
        type: str | None,
    ) -> None:
        if path is not None and refers(path) is Refers.LOCAL:
            path = str(Path(path).expanduser().absolute())
        options = {"name": name, "version": version, "description": description, "path": path, "type": type}
        run.screen.locate = lambda fault: fault.message
        read = assetfile.read(file, options, sets)
        run.screen.locate = read.locate
        asset = spec.parse(shape, read.definition)
        doors = run.doors()
        assets.made(run, doors.register(kind, {**_about(asset), **_content(run, doors, read, asset)}))

    create.help = f"Register {noun}: a local file or folder is sent, an address is checked and kept."
    return create


def _about(asset: DataAsset | ModelAsset) -> dict[str, Any]:
    return {
        "name": asset.name,
        "version": asset.version,
        "type": asset.type,
        "description": asset.description,
        "tags": {key: value or "" for key, value in asset.tags.items()},
        "properties": {key: value or "" for key, value in asset.properties.items()},
        "definition": asset.definition,
    }


def _content(run: Run, doors: Doors, file: assetfile.AssetFile, asset: DataAsset | ModelAsset) -> dict[str, Any]:
    if refers(asset.path) is not Refers.LOCAL:
        return {"path": asset.path}
    with Upload(run.screen) as progress:
        path, cache = file.local(asset.path), cache_folder(run.environ) / "digests.json"
        digest, is_file = sending.send_path(path, asset.type, doors, progress, cache, progress.looking)
    return {"upload": digest, "is_file": is_file}


def _show(kind: str, noun: str) -> click.Command:
    @command("show")
    @assets.one(kind)
    @click.option("--used-by", is_flag=True, help="Which jobs read and wrote it.")
    def show(
        run: Run, name: str | None, positional: str | None, version: str | None, label: str | None, used_by: bool
    ) -> None:
        bare, version, label = assets.chosen(name, positional, version, label)
        doors = run.doors()
        if used_by:
            if label is not None:
                version = doors.asset(kind, bare, label=label)["version"]
            links = doors.asset_lineage(kind, bare, version)
            run.screen.data(links, lambda: used(run, links))
            return
        found = doors.asset(kind, bare, version=version, label=label or "latest")
        run.screen.data(found, lambda: assets.details(run, found))

    show.help = f"Show one version of {noun}; the latest where none is named."
    return show


def used(run: Run, links: list[View]) -> list[str]:
    if not links:
        return ["No job has read or written it."]
    rows = [
        (link["job"], f"{link['direction']} {text.clean(link['name'])}", link.get("version") or "", link["reference"])
        for link in links
    ]
    return run.screen.table(_USED, rows)


create_data = _create("data", DataAsset, "data")
list_data = assets.list_command("data", "data asset")
show_data = _show("data", "a data asset")
archive_data = assets.archive_command("data", "data asset", restore=False)
restore_data = assets.archive_command("data", "data asset", restore=True)

create_model = _create("model", ModelAsset, "a model")
list_models = assets.list_command("model", "model")
show_model = _show("model", "a model")
archive_model = assets.archive_command("model", "model", restore=False)
restore_model = assets.archive_command("model", "model", restore=True)
