"""`mayfly job update`: what people write on a job."""

from __future__ import annotations

from typing import Any

import click

from mayfly.cli.app import command, job_name, one_name
from mayfly.cli.job import details
from mayfly.cli.run import Run
from mayfly.kit.errors import Invalid, nearest
from mayfly.spec import overrides


@command("update")
@job_name
@click.option(
    "--set", "sets", multiple=True, required=True, metavar="A=B", help="As display_name=x, description=x or tags.x=y."
)
def update(run: Run, name: str | None, positional: str | None, sets: tuple[str, ...]) -> None:
    """Change a job's display name, description, tags or properties; an empty value takes a tag away."""
    change = overrides.apply({}, sets)
    unknown = [key for key in change if key not in _LABELS]
    if unknown:
        near = nearest(unknown[0], _LABELS)
        raise Invalid(
            "SetInvalid",
            f"'{unknown[0]}' of a job cannot be changed.",
            remedy=f"Did you mean '{near}'?" if near else f"What can: {', '.join(_LABELS)}.",
        )
    job = run.doors().update_job(one_name(name, positional), {key: _label(value) for key, value in change.items()})
    run.screen.data(job, lambda: details(run, job))


_LABELS = ("display_name", "description", "tags", "properties")


def _label(value: Any) -> Any:
    """As text; nothing takes a tag away."""
    if isinstance(value, dict):
        return {key: None if one in (None, "") else str(one) for key, one in value.items()}
    return "" if value is None else str(value)
