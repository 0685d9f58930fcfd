"""`mayfly run`: a script becomes a job, without a job file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mayfly.cli import submit, text
from mayfly.cli.app import Command, pass_run
from mayfly.cli.run import Run
from mayfly.client import script
from mayfly.client.home import own_folder
from mayfly.client.script import Ask, Made
from mayfly.kit.errors import Conflict, Invalid
from mayfly.spec.words import ASSET_TYPES

_UNSAVED = "job.yml"


class _ScriptCommand(Command):
    """A script's own options are easily given before the '--'; then the message says where they belong."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as error:
            at = next((i for i, word in enumerate(args) if word.split("=")[0] == error.option_name), len(args))
            own = [i for i, word in enumerate(args[:at]) if not word.startswith("-")]
            if not own:
                raise
            begin = " ".join(["mayfly run", *map(shlex.quote, args[:at]), "--", *map(shlex.quote, args[at:])])
            raise Invalid(
                "UsageInvalid",
                f"mayfly run has no option {error.option_name}; the script's own options come after '--'.",
                remedy=f"Write: {begin}",
            ) from error


@click.command("run", cls=_ScriptCommand)
@click.argument("words", metavar="SCRIPT [-- ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@click.option("--module", "-m", metavar="MODULE", help="Run this module, as python -m does, instead of a script.")
@click.option("--env", metavar="NAME", help="A curated or registered environment, an image, or a file.")
@click.option(
    "--requirements",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the packages are written down, if not beside the script (requirements.txt, conda.yml, pyproject.toml).",
)
@click.option(
    "--code",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="The folder to send (default: the script's).",
)
@click.option("--input", "-i", "inputs", multiple=True, metavar="NAME=PATH", help="Data; used as ${{inputs.NAME}}.")
@click.option(
    "--output-name", "outputs", multiple=True, metavar="NAME[=TYPE]", help="A named output; used as ${{outputs.NAME}}."
)
@click.option("--env-var", "-e", "variables", multiple=True, metavar="K[=V]", help="An environment variable.")
@click.option("--instance-type", metavar="SIZE", help="As mayfly compute list-sizes names it.")
@click.option("--instance-count", type=click.IntRange(min=1), help="Nodes (default: 1).")
@click.option("--spot", is_flag=True, help="Cheaper, and put back in the queue when its nodes are taken.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="Cancel the job after this time.")
@click.option("--name", "-n", metavar="NAME", help="The job's name; a new one is made without it.")
@click.option("--display-name", metavar="TEXT", help="What lists show (default: the script's name).")
@click.option("--experiment-name", metavar="NAME", help="Default: the folder the command is typed in.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="May be repeated.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Keep the job file.")
@click.option("--dry-run", is_flag=True, help="Show the job file and run nothing.")
@click.option("--detach", "-d", is_flag=True, help="Return when the job is accepted, instead of following it.")
@pass_run
def run_script(run: Run, words: tuple[str, ...], **given: Any) -> int:
    """Run a script as a job: mayfly run train.py -- --lr 0.1

    The packages it needs are found beside it (inline metadata, requirements.txt, conda.yml, pyproject.toml). Its folder
    is sent, as .amlignore or .gitignore allow. The job that is made is shown, submitted and followed to its end."""
    ask = _ask(run, words, given)
    save: Path | None = given["save"]
    made = script.make(ask, save or Path(_UNSAVED), own_folder(run.environ), kept=save is not None)
    run.screen.locate = made.job.locate
    made.job.check()
    run.screen.notes(made.notes)
    if save is not None:
        _keep(run, save, made)
    if given["dry_run"]:
        run.screen.data(made.job.definition, made.text.splitlines)
        return 0
    for line in made.text.splitlines():
        run.screen.dim(f"  {line}")
    doors = run.doors()
    job = doors.submit(submit.prepare(run, made.job, doors))
    return submit.accepted(run, doors, job, stream=not given["detach"])


def _ask(run: Run, words: tuple[str, ...], given: Mapping[str, Any]) -> Ask:
    module = given["module"]
    if not words and module is None:
        raise Invalid("UsageInvalid", "Which script? None was given.", remedy="As in: mayfly run train.py -- --lr 0.1")
    if given["env"] is not None and given["requirements"] is not None:
        raise Invalid("UsageInvalid", "--env and --requirements exclude each other.")
    path, args = (None, words) if module is not None else (Path(words[0]), words[1:])
    resources = {"instance_type": given["instance_type"], "instance_count": given["instance_count"]}
    return Ask(
        script=path,
        module=module,
        args=args,
        code=given["code"],
        env=given["env"],
        requirements=given["requirements"],
        inputs=_pairs(given["inputs"], "--input", "NAME=PATH"),
        outputs=_outputs(given["outputs"]),
        variables=_variables(run, given["variables"]),
        keys={
            "name": given["name"],
            "display_name": given["display_name"] or (path.name if path is not None else module),
            "experiment_name": given["experiment_name"],
            "tags": _pairs(given["tags"], "--tag", "K=V"),
            "resources": {key: value for key, value in resources.items() if value is not None},
            "queue_settings": {"job_tier": "spot"} if given["spot"] else None,
            "limits": {"timeout": given["timeout"]} if given["timeout"] else None,
        },
    )


def _pairs(given: tuple[str, ...], option: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name or not value:
            raise Invalid("UsageInvalid", f"{option} {one} is not of the form {form}.")
        if name in found:
            raise Invalid("UsageInvalid", f"{option} {name} is given twice.")
        found[name] = value
    return found


def _outputs(given: tuple[str, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for one in given:
        name, _, kind = one.partition("=")
        if kind and kind not in ASSET_TYPES:
            raise Invalid(
                "UsageInvalid",
                f"--output-name {one}: the type is one of {', '.join(ASSET_TYPES)} (default uri_folder).",
            )
        found[name] = kind or None
    return found


def _variables(run: Run, given: tuple[str, ...]) -> dict[str, str]:
    """`K=V`, or `K` for the value that it has here."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals and name not in run.environ:
            raise Invalid(
                "UsageInvalid", f"--env-var {name}: there is no such variable here.", remedy=f"Write {name}=…"
            )
        found[name] = value if equals else run.environ[name]
    return found


def _keep(run: Run, path: Path, made: Made) -> None:
    """A file that was made in this way is written anew; any other stays. Raises Conflict `FileExists`."""
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(script.HEADER):
        raise Conflict(
            "FileExists",
            f"'{path}' is there already, and mayfly run did not make it.",
            remedy="Choose another name for --save, or remove the file.",
        )
    path.write_text(made.text, encoding="utf-8")
    run.screen.note(f"Kept as {text.clean(path)}: mayfly job create --file {shlex.quote(str(path))} --stream")
