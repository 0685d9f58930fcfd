"""`mayfly environment`: what jobs run with, registered under a name, and made before any job needs it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import yaml

from mayfly.cli import assets, report, text
from mayfly.cli.app import command
from mayfly.cli.progress import Upload
from mayfly.cli.run import Run
from mayfly.client import assetfile, sending
from mayfly.client.assetfile import AssetFile
from mayfly.client.doors import Doors, View
from mayfly.client.home import cache_folder
from mayfly.kit.errors import Broken, Invalid
from mayfly.kit.units import format_bytes
from mayfly.spec import assets as spec
from mayfly.spec.assets import EnvironmentAsset

_KIND, _NOUN = "environment", "environment"
_LOOK_S = 0.5
_ENDED = ("ready", "failed", "dropped")


@command("create")
@assets.file_options
@click.option("--image", "-i", metavar="IMAGE", help="The image it begins with.")
@click.option(
    "--conda-file", "-c", type=click.Path(path_type=Path), metavar="FILE", help="Its packages, as conda has it."
)
@click.option("--build-context", "-b", type=click.Path(path_type=Path), metavar="DIR", help="The folder to build from.")
@click.option("--dockerfile-path", "-d", metavar="FILE", help="With --build-context: its Dockerfile, relative to that.")
def create(
    run: Run,
    file: Path | None,
    name: str | None,
    version: str | None,
    description: str | None,
    sets: tuple[str, ...],
    image: str | None,
    conda_file: Path | None,
    build_context: Path | None,
    dockerfile_path: str | None,
) -> None:
    """Register an environment under a name. A version means one definition for ever."""
    packages = str(conda_file.absolute()) if conda_file else None
    options: dict[str, Any] = {"name": name, "version": version, "description": description}
    options |= {"image": image, "conda_file": packages}
    if build_context is not None:
        context = {"path": str(build_context.absolute()), "dockerfile_path": dockerfile_path}
        options["build"] = {key: value for key, value in context.items() if value is not None}
    asset, path = _read(run, file, options, sets)
    doors = run.doors()
    body = {
        "name": asset.name,
        "version": asset.version,
        "description": asset.description,
        "tags": {key: value or "" for key, value in asset.tags.items()},
        "properties": {key: value or "" for key, value in asset.properties.items()},
        "definition": asset.definition,
        "upload": _sent(run, doors, asset, path),
    }
    assets.made(run, doors.register(_KIND, body))


list_environments = assets.list_command(_KIND, _NOUN)
archive = assets.archive_command(_KIND, _NOUN, restore=False)
restore = assets.archive_command(_KIND, _NOUN, restore=True)


def _definition(_run: Run, view: View) -> list[str]:
    shown = yaml.safe_dump(view["definition"], sort_keys=False, allow_unicode=True)
    return ["", *(text.clean(line) for line in shown.splitlines())]


show = assets.show_command(_KIND, _NOUN, _definition)


@command("build")
@assets.file_options
@click.argument("positional", metavar="[NAME]", required=False)
@click.option("--hash", "digest", metavar="HASH", help="One that was made, or failed, before.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is made.")
def build(
    run: Run,
    file: Path | None,
    name: str | None,
    version: str | None,
    description: str | None,
    sets: tuple[str, ...],
    positional: str | None,
    digest: str | None,
    no_wait: bool,
) -> int:
    """Find an environment's packages now, before a job needs them, and again where that failed."""
    doors = run.doors()
    ask: dict[str, Any] = {"digest": digest or ""}
    if not digest:
        ask |= _wished(run, doors, file, name or positional, version, description, sets)
    found = doors.build_environment(ask)
    if no_wait:
        run.screen.data(found, lambda: [f"{text.clean(found['name'])} is being made ({found['digest'][:12]})."])
        return 0
    waits = ""
    while True:
        if found["waits"] and found["waits"] != waits:
            waits = found["waits"]
            run.screen.note(waits)
        if found["text"]:
            run.screen.log("build", found["text"], "")
        if found["state"] in _ENDED:
            break
        time.sleep(_LOOK_S)
        found = doors.environment_build(found["digest"], found["next"])
    run.screen.end_logs({})
    if found["state"] != "ready":
        error = found.get("error") or {"code": "EnvironmentDropped", "message": "It was given up."}
        raise Broken(error["code"], error["message"], remedy=error.get("remedy"))
    run.screen.data(found, lambda: _built(found))
    return 0


@command("prune")
@click.option("--days", type=click.FloatRange(0, 36_500), default=30, show_default=True, help="Unused for how long.")
@click.option("--dry-run", is_flag=True, help="Only say what would be given up.")
def prune(run: Run, days: float, dry_run: bool) -> None:
    """Give up what no job has used for some days: the packages that were found for an environment, and what nodes keep
    on their disks. All of it is made again when a job needs it; registered environments stay registered."""
    done = run.doors().prune_environments(days=days, dry_run=dry_run)

    def human() -> list[str]:
        verb = "Would give up" if done["dry_run"] else "Gave up"
        made = report.counted(done["environments"], "made environment")
        trees = report.counted(done["trees"], "folder")
        return [
            f"{verb} {report.counted(done['locks'], 'lock')}; {done['kept_locks']} stay.",
            f"{verb} {made} and {trees} of code or inputs on nodes, {format_bytes(done['bytes'])}; "
            f"{done['kept']} stay, {format_bytes(done['kept_bytes'])}.",
        ]

    run.screen.data(done, human)


def _wished(
    run: Run,
    doors: Doors,
    file: Path | None,
    name: str | None,
    version: str | None,
    description: str | None,
    sets: tuple[str, ...],
) -> dict[str, Any]:
    if file is not None:
        asset, path = _read(run, file, {"name": name, "version": version, "description": description}, sets)
        sent = _sent(run, doors, asset, path)
        uploads = {} if sent is None else {"/environment/build/path": sent}
        return {"environment": asset.definition, "uploads": uploads}
    if not name:
        raise Invalid("UsageInvalid", "Which environment?", remedy="Give a name, a --file or a --hash.")
    if "/" in name:
        return {"environment": name}
    bare, version, label = assets.chosen(name, None, version, None)
    return {"environment": f"azureml:{bare}:{version}" if version else f"azureml:{bare}@{label or 'latest'}"}


def _read(
    run: Run, file: Path | None, options: dict[str, Any], sets: tuple[str, ...]
) -> tuple[EnvironmentAsset, AssetFile]:
    run.screen.locate = lambda fault: fault.message
    read: AssetFile = assetfile.read(file, options, sets, includes=("conda_file",))
    run.screen.locate = read.locate
    return spec.parse(EnvironmentAsset, read.definition), read


def _sent(run: Run, doors: Doors, asset: EnvironmentAsset, file: AssetFile) -> str | None:
    """The digest of its build context, sent; None where it has none."""
    if asset.build is None:
        return None
    with Upload(run.screen) as progress:
        return sending.send_context(
            file.local(asset.build.path),
            asset.build.dockerfile_path or "Dockerfile",
            doors,
            progress,
            cache_folder(run.environ) / "digests.json",
            progress.looking,
        )


def _built(found: View) -> list[str]:
    lines = [report.field("Name", found["name"]), report.field("Hash", found["digest"][:12])]
    lines += [report.field("Note", found["note"])] if found["note"] else []
    packages = ", ".join(found["packages"])
    return [*lines, *([report.field("Packages", packages)] if packages else [])]
