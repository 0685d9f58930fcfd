"""`mayfly workspace` and `mayfly gc`: what a server keeps apart, and what it may give up."""

from __future__ import annotations

from dataclasses import replace

import click

from mayfly.cli import report, text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.client.doors import View
from mayfly.kit.errors import Invalid
from mayfly.kit.units import format_bytes

_WORKSPACES = (
    Column("name", whole=True),
    Column("group", whole=True),
    Column("subscription"),
    Column("jobs", right=True),
    Column("assets", right=True),
    Column("created"),
)


@command("create")
@click.option("--name", "-n", metavar="NAME", help="The workspace's name (default: what -w says).")
def create(run: Run, name: str | None) -> None:
    """Make a workspace. Its jobs, quota, assets and experiments are its own. One that exists is left as it is."""
    made = _chosen(run, name).doors().make_workspace()
    run.screen.data(made, lambda: [f"{text.clean(made['name'])} is ready: mayfly … -w {text.clean(made['name'])}"])


@command("list")
def list_workspaces(run: Run) -> None:
    """List the workspaces of this server."""
    found = run.doors().workspaces()

    def human() -> list[str]:
        now = run.clock.now()
        rows = [
            (
                one["name"],
                one["resource_group"],
                one["subscription"],
                sum(one["jobs"].values()),
                sum(one["assets"].values()),
                text.ago(one["created_at"], now),
            )
            for one in found
        ]
        return run.screen.table(_WORKSPACES, rows)

    run.screen.data(found, human)


@command("show")
@click.option("--name", "-n", metavar="NAME", help="The workspace's name (default: what -w says).")
def show(run: Run, name: str | None) -> None:
    """Show one workspace."""
    found = _chosen(run, name).doors().workspace()
    run.screen.data(found, lambda: _details(run, found))


@command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be given up.")
def gc(run: Run, dry_run: bool) -> None:
    """Give up what nothing needs: content that no job, output or asset names and nobody sent during the last day, and,
    where `retention_days` is configured, outputs and logs of jobs that ended longer ago."""
    done = run.doors().gc(dry_run=dry_run)

    def human() -> list[str]:
        verb = "Would give up" if done["dry_run"] else "Gave up"
        lines = [
            f"{verb} {report.counted(done['files'], 'file')} that nothing needs, {format_bytes(done['bytes'])}.",
            f"{report.counted(done['kept_files'], 'file')} stay, {format_bytes(done['kept_bytes'])}.",
        ]
        if done["retention_days"] is not None:
            days = report.counted(done["retention_days"], "day")
            jobs = report.counted(done["jobs"], "job")
            lines.insert(0, f"{verb} outputs and logs of {jobs} that ended more than {days} ago.")
        return lines

    run.screen.data(done, human)


def _chosen(run: Run, name: str | None) -> Run:
    """For the workspace of this name, where one is given. Raises Invalid `UsageInvalid` for two that differ."""
    if not name or name == run.place.workspace:
        return run
    if run.place.workspace != "default":
        raise Invalid("UsageInvalid", f"Two workspaces were named: '{name}' and '{run.place.workspace}'.")
    return replace(run, place=replace(run.place, workspace=name))


def _details(run: Run, found: View) -> list[str]:
    counted = {
        "Jobs": ", ".join(f"{count} {state}" for state, count in found["jobs"].items()),
        "Assets": ", ".join(f"{count} {kind}" for kind, count in found["assets"].items()),
    }
    lines = [
        report.field("Name", found["name"]),
        report.field("Group", found["resource_group"]),
        report.field("Subscription", found["subscription"]),
        report.field("Created", text.moment(found["created_at"], run.clock.now())),
    ]
    return lines + [report.field(label, value) for label, value in counted.items() if value]
