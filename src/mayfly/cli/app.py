"""The command line: groups that load a command's module only when it is run, and the options that all commands share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import click

from mayfly import __version__
from mayfly.cli import show
from mayfly.cli.catalogue import COMMANDS, Entry, root_help
from mayfly.cli.run import Run
from mayfly.client.connecting import Settings, read_settings
from mayfly.client.doors import Place
from mayfly.kit.clock import Clock
from mayfly.kit.errors import Broken, Invalid, MayflyError, NotFound, nearest

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def main(args: Sequence[str], environ: Mapping[str, str], clock: Clock, new_name: Callable[[], str]) -> int:
    """Run one command; its exit status. `new_name` makes up a job's name. Every failure is said on standard error, as JSON
    where `-o json` asks so."""
    args = spread_lists(list(args)[1:] if list(args[:1]) == ["ml"] else args)
    try:
        status = _root(environ, clock, new_name).main(args, prog_name="mayfly", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else root_help())
        return 0
    except click.Abort:
        return show.INTERRUPTED
    except KeyboardInterrupt:
        show.open_screen(environ).note("Interrupted.")
        return show.INTERRUPTED
    except click.ClickException as error:
        return show.open_screen(environ, _asked_format(args)).problem(_usage(error))
    except MayflyError as error:
        return show.open_screen(environ, _asked_format(args)).problem(error)
    except BrokenPipeError:
        show.silence()
        return 0
    except OSError as error:
        words = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return show.open_screen(environ, _asked_format(args)).problem(Broken("FileUnusable", words))


_LISTS = ("--set", "--tags")


def spread_lists(args: Sequence[str]) -> list[str]:
    """`--set a=1 b=2`, as `az` takes it, is `--set a=1 --set b=2`."""
    spread: list[str] = []
    taking = ""
    for word in args:
        more = taking and "=" in word and not word.startswith("-")
        if more and spread[-1] != taking:
            spread.append(taking)
        taking = word if word in _LISTS else taking if more else ""
        spread.append(word)
    return spread


class LazyGroup(click.Group):
    """Subcommands by name from the catalogue; only the one that is run is imported."""

    def __init__(self, entries: Mapping[str, Entry], name: str | None = None, **settings: Any) -> None:
        super().__init__(name, context_settings=_CONTEXT, no_args_is_help=True, **settings)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        if entry.entries is not None:
            return LazyGroup(entry.entries, cmd_name, help=entry.summary)
        module, _, attribute = entry.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._entries and not name.startswith("-"):
            near = nearest(name, list(self._entries))
            raise Invalid(
                "CommandUnknown",
                f"There is no command '{' '.join([*ctx.command_path.split()[1:], name])}'.",
                remedy=f"Did you mean '{near}'?" if near else f"See {ctx.command_path} --help.",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the catalogue, so that help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._entries.items()])


class _Root(LazyGroup):
    def get_help(self, ctx: click.Context) -> str:
        return root_help()


class Command(click.Command):
    """A command with the options that all share; its function is given a `Run` first."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.setdefault("context_settings", _CONTEXT)
        super().__init__(*args, **settings)
        self.params.extend(_shared_options())

    def invoke(self, ctx: click.Context) -> Any:
        given = ctx.params
        environ, clock, new_name = ctx.find_root().obj
        names = (given.pop("subscription"), given.pop("resource_group"), given.pop("workspace_name"))
        screen = show.open_screen(environ, given.pop("output"), given.pop("query"))
        try:
            settings = read_settings(environ)
            ctx.obj = Run(screen, settings, self.place(settings, *names), environ, clock, new_name)
            return super().invoke(ctx)
        except MayflyError as error:
            return screen.problem(error)

    def place(self, settings: Settings, *names: str | None) -> Place:
        """Which workspace is meant. Raises Invalid for a configuration file that cannot be read."""
        subscription, group, workspace = names
        return place_of(settings, subscription, group, workspace)


def place_of(settings: Settings, subscription: str | None, group: str | None, workspace: str | None) -> Place:
    """What an option or a variable says, else the configuration file, else the built-in names. The file is looked for
    first, so that who has none does not pay for reading it."""
    if not (settings.folder / "config.yml").exists():
        return Place(subscription or "local", group or "local", workspace or "default")
    told = importlib.import_module("mayfly.client.configuration").load(settings.folder).defaults
    return Place(subscription or told.subscription, group or told.resource_group, workspace or told.workspace)


pass_run = click.make_pass_decorator(Run)


def command(name: str) -> Any:
    """Decorator: a `Command` whose function takes the `Run` first."""

    def wrap(function: Any) -> Command:
        return click.command(name, cls=Command)(pass_run(function))

    return wrap


def job_name(function: Any) -> Any:
    """Decorator: `--name/-n NAME`, or the name by itself. A job that is in another workspace is said to be there."""

    @wraps(function)
    def asked(run: Run, **given: Any) -> Any:
        try:
            return function(run, **given)
        except NotFound as error:
            if error.code != "JobNotFound":
                raise
            elsewhere = importlib.import_module("mayfly.client.elsewhere")
            raise elsewhere.told(error, run.doors(), one_name(given["name"], given["positional"])) from error

    argument = click.argument("positional", metavar="[NAME]", required=False, shell_complete=completing("job"))
    option = click.option("--name", "-n", metavar="NAME", help="The job's name.", shell_complete=completing("job"))
    return option(argument(asked))


def completing(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For `shell_complete`: names of jobs, or of assets of a kind, from a server that runs."""

    def complete(ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        environ, *_ = ctx.find_root().obj
        names = (ctx.params.get(name) for name in ("subscription", "resource_group", "workspace_name"))
        settings = read_settings(environ)
        return importlib.import_module("mayfly.client.naming").names(settings, place_of(settings, *names), kind, begun)

    return complete


def one_name(name: str | None, positional: str | None) -> str:
    """The name that was given, either way. Raises Invalid `UsageInvalid`."""
    if name and positional and name != positional:
        raise Invalid("UsageInvalid", f"Two names were given: '{name}' and '{positional}'.")
    chosen = name or positional
    if not chosen:
        raise Invalid("UsageInvalid", "Which job? No name was given.", remedy="Add --name NAME; see mayfly job list.")
    return chosen


def _shared_options() -> list[click.Option]:
    return [
        click.Option(
            ["--resource-group", "-g"],
            envvar="MAYFLY_RESOURCE_GROUP",
            metavar="NAME",
            help="Resource group (default: local).",
        ),
        click.Option(
            ["--workspace-name", "-w"],
            envvar="MAYFLY_WORKSPACE",
            metavar="NAME",
            help="Workspace (default: default).",
        ),
        click.Option(
            ["--subscription"],
            envvar="MAYFLY_SUBSCRIPTION",
            metavar="NAME",
            help="Subscription (default: local).",
        ),
        click.Option(
            ["--output", "-o"],
            type=click.Choice(show.FORMATS),
            default="table",
            help="How to print the answer.",
        ),
        click.Option(["--query"], metavar="JMESPATH", help="Print only this part of the answer."),
    ]


def _root(environ: Mapping[str, str], clock: Clock, new_name: Callable[[], str]) -> click.Group:
    root = _Root(COMMANDS, "mayfly")
    root.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version.",
        )
    )
    root.context_settings = {**_CONTEXT, "obj": (environ, clock, new_name)}
    return root


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"mayfly {__version__}")
        ctx.exit()


def _usage(error: click.ClickException) -> Invalid:
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "mayfly"
    return Invalid("UsageInvalid", error.format_message(), remedy=f"See {path} --help.")


def _asked_format(args: Sequence[str]) -> str:
    """The output format of a command line that could not be read, as well as it can be told."""
    words = list(args)
    for at, word in enumerate(words):
        if word in ("-o", "--output") and words[at + 1 : at + 2] == ["json"]:
            return "json"
        if word in ("-ojson", "--output=json", "-o=json"):
            return "json"
    return "table"
