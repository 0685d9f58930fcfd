"""`mayfly job download`: what a job left."""

from __future__ import annotations

from pathlib import Path

import click

from mayfly.cli import report, text
from mayfly.cli.app import command, job_name, one_name
from mayfly.cli.run import Run
from mayfly.client.doors import View
from mayfly.client.downloading import download as bring
from mayfly.kit.errors import Invalid, NotFound, nearest
from mayfly.kit.units import format_bytes


@command("download")
@job_name
@click.option("--output-name", metavar="NAME", help="Only this output.")
@click.option("--all", "everything", is_flag=True, help="Every output.")
@click.option("--step", metavar="STEP", help="Of this step of a pipeline; OUTER/STEP of a nested one.")
@click.option(
    "--download-path",
    "-p",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to (default: here).",
)
def download(
    run: Run,
    name: str | None,
    positional: str | None,
    output_name: str | None,
    everything: bool,
    step: str | None,
    download_path: Path,
) -> None:
    """Download outputs and logs: artifacts/… for the default output, named-outputs/NAME/… for the others."""
    if output_name and everything:
        raise Invalid("UsageInvalid", "--output-name and --all exclude each other.")
    doors = run.doors()
    job = doors.job(one_name(name, positional))
    if step is not None:
        job = doors.job(_job_of(job, step))
    elif job["type"] == "pipeline" and output_name is None:
        everything = True  # it has no artifacts of its own
    done = bring(doors, job, download_path.absolute(), only=output_name, everything=everything)
    answer = [{"name": d.name, "folder": str(d.folder), "files": d.files, "bytes": d.bytes} for d in done]

    def human() -> list[str]:
        lines = [
            f"{d.name}: {d.files} file{'' if d.files == 1 else 's'}, {format_bytes(d.bytes)} in {text.clean(d.folder)}"
            for d in done
        ]
        return lines or [f"{text.clean(job['name'])} left nothing to download."]

    run.screen.data(answer, human)


def _job_of(job: View, step: str) -> str:
    """The job that a step of a pipeline is. Raises NotFound `StepNotFound`, `StepNotStarted`."""
    steps = report.steps_by_path(job.get("steps") or [])
    found = steps.get(step)
    if found is None:
        near = nearest(step, list(steps))
        raise NotFound(
            "StepNotFound",
            f"'{job['name']}' has no step '{step}'.",
            remedy=f"Did you mean '{near}'?" if near else f"It has: {', '.join(steps) or 'none'}.",
        )
    if not found.get("job"):
        raise NotFound("StepNotStarted", f"The step '{step}' of '{job['name']}' is {found['status']}: it left nothing.")
    return str(found["job"])
