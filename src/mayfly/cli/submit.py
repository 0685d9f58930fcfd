"""`mayfly job create`, `validate` and `plan`: a job file on its way to the server."""

from __future__ import annotations

from pathlib import Path

import click

from mayfly.cli import report, text
from mayfly.cli.app import command
from mayfly.cli.progress import Upload
from mayfly.cli.run import Run
from mayfly.cli.watch import watch
from mayfly.client import jobfile, snapshot
from mayfly.client.doors import Doors, View
from mayfly.client.home import cache_folder
from mayfly.client.jobfile import JobFile
from mayfly.kit.errors import Refused

_FILE = click.option(
    "--file", "-f", "file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The job file (YAML)."
)
_SET = click.option(
    "--set", "sets", multiple=True, metavar="A.B=C", help="Change a value of the file; may be repeated."
)
_NAME = click.option("--name", "-n", metavar="NAME", help="The job's name; a new one is made without it.")


@command("create")
@_FILE
@_SET
@_NAME
@click.option("--stream", "-s", is_flag=True, help="Follow the job's log until it ends, then report.")
def create(run: Run, file: Path, sets: tuple[str, ...], name: str | None, stream: bool) -> int:
    """Submit a job file. Its code and local inputs are uploaded, as far as the server lacks them."""
    job_file, doors = _read(run, file, sets, name), run.doors()
    job = doors.submit(prepare(run, job_file, doors))
    return accepted(run, doors, job, stream)


@command("validate")
@_FILE
@_SET
@_NAME
def validate(run: Run, file: Path, sets: tuple[str, ...], name: str | None) -> None:
    """Check a job file without submitting it, and say what is accepted but not yet enforced."""
    job_file, doors = _read(run, file, sets, name), run.doors()
    view = doors.validate(prepare(run, job_file, doors))

    def human() -> list[str]:
        return [f"{text.clean(file)} is valid.", *(f"note: {text.clean(note)}" for note in view["notes"])]

    run.screen.data(view, human)


@command("plan")
@_FILE
@_SET
@_NAME
def plan(run: Run, file: Path, sets: tuple[str, ...], name: str | None) -> None:
    """Show which size a job would get and why, what it would cost, and whether it would start now. Makes no job."""
    job_file, doors = _read(run, file, sets, name), run.doors()
    view = doors.plan(prepare(run, job_file, doors))
    run.screen.data(view, lambda: _planned(run, view, str(file)))


def _read(run: Run, file: Path, sets: tuple[str, ...], name: str | None) -> JobFile:
    """The file, checked as far as that needs no server, so that a wrong one starts none."""
    run.screen.locate = lambda fault: fault.message
    job_file = jobfile.read(file, [*sets, f"name={name}"] if name else list(sets))
    run.screen.locate = job_file.locate
    job_file.check()
    return job_file


def prepare(run: Run, job_file: JobFile, doors: Doors) -> View:
    """Upload what the file points to; the request. Raises Refused `LocalComputeRemote` and what `snapshot` raises."""
    compute = str(job_file.definition.get("compute") or "").removeprefix("azureml:")
    if doors.remote and compute == "local":
        raise Refused(
            "LocalComputeRemote",
            "'compute: local' means this machine, but the server is on another one.",
            pointer="/compute",
            remedy="Leave out 'compute:' to run there, or unset MAYFLY_SERVER to run here.",
        )
    with Upload(run.screen) as progress:
        submission = snapshot.prepare(
            job_file,
            doors,
            progress,
            cache=cache_folder(run.environ) / "digests.json",
            say=lambda note: run.screen.notes([note]),
            looking=progress.looking,
        )
    return submission.model_dump(mode="json", exclude_none=True)


def accepted(run: Run, doors: Doors, job: View, stream: bool) -> int:
    """Say so, and follow the job to its end where that is asked for; the exit status."""
    run.screen.notes(job.get("notes") or [])
    if stream:
        run.screen.note(f"Submitted {job['name']}.")
        return watch(run, doors, job["name"])
    run.screen.data(job, lambda: _submitted(job))
    return 0


def _submitted(job: View) -> list[str]:
    name = text.clean(job["name"])
    reason = f" ({text.clean(job['status_reason'])})" if job.get("status_reason") else ""
    return [f"{name} is {job['status']}{reason}.", f"Follow it: mayfly job stream -n {name}"]


def _planned(run: Run, view: View, file: str) -> list[str]:
    lines = [text.clean(view["sentence"])]
    lines.append(report.field("Starts", "now" if view["starts_now"] else f"later, {_place(view)}"))
    lines.append(report.field("Size", report.size(view)))
    lines += [report.field("Note", note) for note in view.get("notes") or []]
    total, held = view["capacity_total"], view["capacity_held"]
    needed = report.counted(view["capacity_needed"], "core")
    lines.append(report.field("Capacity", f"{needed} needed, {held} of {total} held, {total - held} left"))
    if view["quota"]:
        lines += ["", *run.screen.table(report.QUOTA, report.quota_rows(view["quota"]))]
    if view["candidates"]:
        lines += ["", *run.screen.table(report.CANDIDATES, report.candidate_rows(view["candidates"]))]
    return lines + report.advice(view, file)


def _place(view: View) -> str:
    return f"place {view['place_in_queue']} in the queue"
