"""`mayfly config`: the configuration file of this machine's state folder."""

from __future__ import annotations

from typing import Any

import click
import yaml

from mayfly.cli import text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.client import configuration
from mayfly.spec.settings import Settings


@command("list")
@click.option("--all", "everything", is_flag=True, help="Defaults too.")
def list_settings(run: Run, everything: bool) -> None:
    """Show what is configured."""
    folder = run.settings.folder
    found = configuration.load(folder).model_dump() if everything else configuration.written(folder)
    run.screen.data(found, lambda: _yaml(found) or [f"Nothing is configured in {folder / configuration.FILE}."])


@command("get")
@click.argument("key")
def get(run: Run, key: str) -> None:
    """Show one setting, as in: mayfly config get defaults.workspace."""
    found = configuration.get(run.settings.folder, key)
    run.screen.data(found, lambda: _yaml(found) if isinstance(found, dict) else [text.clean(_plain(found))])


@command("set")
@click.argument("key")
@click.argument("value")
def put(run: Run, key: str, value: str) -> None:
    """Change one setting, as in: mayfly config set uri_map.https://host/data/ /srv/data

    \b
    uri_map.PREFIX            a local path that stands for addresses with this prefix
    defaults.workspace, defaults.resource_group, defaults.subscription
    containers.pull           whether images may be fetched
    registries.NAME           the folder with a registry's assets
    retention_days            how long outputs and logs are kept (see mayfly gc)
    """
    _comments(run)
    _said(run, configuration.put(run.settings.folder, key, value), key)


@command("unset")
@click.argument("key")
def unset(run: Run, key: str) -> None:
    """Take one setting out, so that its default holds."""
    _comments(run)
    _said(run, configuration.drop(run.settings.folder, key), key)


def _comments(run: Run) -> None:
    path = run.settings.folder / configuration.FILE
    if path.is_file() and any(line.lstrip().startswith("#") for line in path.read_text(encoding="utf-8").splitlines()):
        run.screen.notes([f"the comments in {path} are not kept"])


def _said(run: Run, found: Settings, key: str) -> None:
    run.screen.data(found.model_dump(), lambda: [f"{text.clean(key)} is changed; a server that runs sees it at once."])


def _yaml(value: dict[str, Any]) -> list[str]:
    return [text.clean(line) for line in yaml.safe_dump(value, sort_keys=False).splitlines()] if value else []


def _plain(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
