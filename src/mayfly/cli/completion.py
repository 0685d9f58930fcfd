"""`mayfly completion`: the script that a shell reads to complete commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.kit.errors import Broken


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(run: Run, shell: str) -> None:
    """Print a completion script, as in: eval "$(mayfly completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Broken("ShellUnknown", f"No completion is known for {shell}.")
    script = kind(click.get_current_context().find_root().command, {}, "mayfly", "_MAYFLY_COMPLETE").source()
    run.screen.out.write(script)
