"""`mayfly compute`, `mayfly quota` and `mayfly usage`: what jobs can have, may have, and hold."""

from __future__ import annotations

import click

from mayfly.cli import text
from mayfly.cli.app import command
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.client.doors import View

_SIZES = (
    Column("name", whole=True),
    Column("vcpus", right=True),
    Column("memory", right=True),
    Column("standard", right=True),
    Column("spot", right=True),
    Column("available"),
    Column("gpus"),
    Column("disk", right=True),
    Column("family"),
    Column("note"),
)
_QUOTAS = (
    Column("family", whole=True),
    Column("tier", whole=True),
    Column("held", right=True, whole=True),
    Column("limit", right=True, whole=True),
    Column("scope"),
    Column("source"),
)
_USAGE = (
    Column("name", whole=True),
    Column("family", whole=True),
    Column("held", right=True, whole=True),
    Column("limit", right=True, whole=True),
    Column("tier"),
    Column("jobs", right=True),
)


@command("list-sizes")
@click.option("--available", is_flag=True, help="Only sizes that quota and fleet would take now or later.")
def list_sizes(run: Run, available: bool) -> None:
    """List instance types with their prices. A price that is not known is shown as unknown."""
    sizes = [size for size in run.doors().sizes() if size["available"] or not available]

    def human() -> list[str]:
        rows = [
            (
                size["name"],
                size["vcpus"],
                f"{size['memory_gib']:.4g} GiB",
                text.price(size["standard_usd_per_hour"]),
                text.price(size["spot_usd_per_hour"]),
                "yes" if size["available"] else "no",
                f"{size['gpus']} × {size['gpu_model']}" if size["gpus"] else "",
                f"{size['disk_gib']:g} GiB",
                size["family"],
                ", ".join(filter(None, ["retired" if size["retired"] else "", size.get("note")])),
            )
            for size in sizes
        ]
        return run.screen.table(_SIZES, rows)

    run.screen.data(sizes, human)


@command("list")
def list_quotas(run: Run) -> None:
    """List the limits on cores, by family and tier."""
    quotas = run.doors().quotas()
    run.screen.data(quotas, lambda: _quota_table(run, quotas))


@command("update")
@click.option("--family", required=True, metavar="FAMILY", help="As compute list-sizes names it; '*' for the total.")
@click.option("--limit", required=True, type=click.IntRange(min=0), help="vCPUs.")
@click.option(
    "--tier", type=click.Choice(["Standard", "Spot"], case_sensitive=False), default="Standard", show_default=True
)
@click.option(
    "--scope",
    type=click.Choice(["subscription", "workspace"], case_sensitive=False),
    default="subscription",
    show_default=True,
)
def update_quota(run: Run, family: str, limit: int, tier: str, scope: str) -> None:
    """Change a limit. Jobs that run are not stopped by a lower one."""
    quotas = run.doors().update_quota(family, limit, tier, scope)
    run.screen.data(quotas, lambda: _quota_table(run, quotas))


@command("usage")
def usage(run: Run) -> None:
    """Show the cores held and their limits."""
    held = run.doors().usage()

    def human() -> list[str]:
        rows = [(u["name"], u["family"], u["held"], u["limit"], u["tier"], u["jobs"]) for u in held]
        return run.screen.table(_USAGE, rows) if rows else ["Nothing is held."]

    run.screen.data(held, human)


def _quota_table(run: Run, quotas: list[View]) -> list[str]:
    rows = [
        (q["family"], q["tier"], q["held"], q["limit"], q["scope"], "default" if q["default"] else "set")
        for q in quotas
    ]
    return run.screen.table(_QUOTAS, rows) if rows else ["No limits."]
