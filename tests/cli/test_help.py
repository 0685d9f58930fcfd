"""Help is cheap and complete."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli_runner import Mayfly

from mayfly.cli.catalogue import COMMANDS, EXIT_CODES, root_help

COMMAND_LINES = [
    (name, *sub)
    for name, entry in COMMANDS.items()
    for sub in ([(key,) for key in entry.entries] if entry.entries else [()])
]


def test_help_imports_next_to_nothing() -> None:
    code = "import sys; sys.argv=['mayfly', '--help']; from mayfly.main.cli import main; main(); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(out.splitlines()[-1].split())
    assert not loaded & {"click", "httpx", "rich", "yaml", "pydantic", "dataclasses", "msgspec"}
    assert {name for name in loaded if name.startswith("mayfly")} == {
        "mayfly",
        "mayfly.main",
        "mayfly.main.cli",
        "mayfly.cli",
        "mayfly.cli.catalogue",
    }


@pytest.mark.parametrize("path", COMMAND_LINES, ids=" ".join)
def test_every_command_has_help_with_the_shared_options(mayfly: Mayfly, path: tuple[str, ...]) -> None:
    done = mayfly(*path, "--help")
    assert done.status == 0
    for option in ("--resource-group", "--workspace-name", "--subscription", "--output", "--query"):
        assert option in done.out


def test_root_help_names_commands_and_exit_codes() -> None:
    text = root_help()
    assert all(name in text for name in COMMANDS)
    assert all(meaning in text for _, meaning in EXIT_CODES)


@pytest.mark.parametrize("args", [(), ("--help",), ("ml",), ("ml", "--help")])
def test_root_help_either_way(mayfly: Mayfly, args: tuple[str, ...]) -> None:
    done = mayfly(*args)
    assert (done.status, done.out.strip()) == (0, root_help())


def test_a_group_alone_shows_its_commands(mayfly: Mayfly) -> None:
    done = mayfly("job")
    assert done.status == 0
    assert "download" in done.out


def test_only_the_client_wing_is_loaded() -> None:
    """Commands never load the server's or the node's parts."""
    code = (
        "import sys; from mayfly.cli import app, submit, job, server, compute, completion;"
        "print(*[m for m in sys.modules if m.startswith(('mayfly.services', 'mayfly.store', 'mayfly.engine', 'mayfly.api',"
        " 'mayfly.node', 'mayfly.drivers', 'sqlalchemy', 'fastapi', 'mlflow'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(mayfly: Mayfly, shell: str) -> None:
    done = mayfly("completion", shell)
    assert done.status == 0
    assert "_MAYFLY_COMPLETE" in done.out
