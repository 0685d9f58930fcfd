"""`mayfly job create`, `validate` and `plan`: a job file on its way to the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mayfly.cli import report, show, text
from mayfly.cli.acceptance import accepted
from mayfly.cli.app import command, completing
from mayfly.cli.progress import Upload
from mayfly.cli.run import Run
from mayfly.client import connecting, jobfile, snapshot
from mayfly.client.doors import Doors, View
from mayfly.client.home import cache_folder
from mayfly.client.jobfile import JobFile
from mayfly.kit.errors import Fault, Invalid, Refused

_FILE = click.option(
    "--file", "-f", "file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The job file (YAML)."
)
_SET = click.option(
    "--set", "sets", multiple=True, metavar="A.B=C", help="Change a value of the file; may be repeated."
)
_NAME = click.option("--name", "-n", metavar="NAME", help="The job's name; a new one is made without it.")
_ONLY = click.option(
    "--only", metavar="STEP", default="", help="Only this step of a pipeline, by itself: 'train', 'outer/train'."
)
_INPUTS_FROM = click.option(
    "--inputs-from",
    metavar="JOB",
    default="",
    shell_complete=completing("job"),
    help="With --only: what the step reads of other steps is what this pipeline job's steps made.",
)


def _file_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((_FILE, _SET, _NAME, _ONLY, _INPUTS_FROM)):
        function = option(function)
    return function


@command("create")
@_file_options
@click.option("--stream", "-s", is_flag=True, help="Follow the job's log until it ends, then report.")
@click.option("--web", "-e", is_flag=True, help="Open the page of its metrics in a browser, signed in.")
@click.option(
    "--save-as", "-a", type=click.Path(path_type=Path), metavar="FILE", help="Write what was submitted to it."
)
@click.option("--skip-validation", is_flag=True, hidden=True)
def create(
    run: Run,
    file: Path,
    sets: tuple[str, ...],
    name: str | None,
    only: str,
    inputs_from: str,
    stream: bool,
    web: bool,
    save_as: Path | None,
    skip_validation: bool,
) -> int:
    """Submit a job file. Its code and local inputs are uploaded, as far as the server lacks them."""
    trusting = connecting.is_up(run.settings)
    job_file = _read(run, file, sets, name, only, inputs_from, trusting=trusting)
    doors = run.doors()
    if skip_validation:
        run.screen.notes(["--skip-validation changes nothing: what could not run is refused before it costs anything"])
    try:
        job = doors.submit(prepare(run, job_file, doors, trusting=trusting))
    except Invalid:
        job_file.check()  # says the same, and more: what is wrong on this machine
        raise
    if save_as is not None:
        show.write_yaml(save_as, job["definition"])
    if web:
        url = doors.web(job["name"])
        click.launch(url)
        run.screen.note(f"Its page, once and within ten minutes: {url}")
    return accepted(run, doors, job, stream)


@command("batch")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@_SET
def batch(run: Run, files: tuple[Path, ...], sets: tuple[str, ...]) -> None:
    """Submit several job files in one call. All of them are accepted, or none when something is wrong with one."""
    job_files = [_read(run, file, sets, None, "", "") for file in files]
    doors, submissions = run.doors(), []
    for job_file in job_files:
        run.screen.locate = job_file.locate
        submissions.append(prepare(run, job_file, doors))
    run.screen.locate = lambda fault: _located_in(job_files, fault)
    view = doors.submit_all(submissions)
    run.screen.data(view, lambda: [f"{text.clean(name)} is accepted." for name in view["names"]])


def _located_in(job_files: list[JobFile], fault: Fault) -> str:
    """A fault of the whole call, said of the file that it is in."""
    found = re.match(r"/jobs/(\d+)", fault.pointer or "")
    if found is None:
        return fault.message
    return job_files[int(found[1])].locate(replace(fault, pointer=(fault.pointer or "")[found.end() :]))


@command("validate")
@_file_options
def validate(run: Run, file: Path, sets: tuple[str, ...], name: str | None, only: str, inputs_from: str) -> None:
    """Check a job file without submitting it, and say what is accepted but not yet enforced."""
    job_file, doors = _read(run, file, sets, name, only, inputs_from), run.doors()
    view = doors.validate(prepare(run, job_file, doors))

    def human() -> list[str]:
        return [f"{text.clean(file)} is valid.", *(f"note: {text.clean(note)}" for note in view["notes"])]

    run.screen.data(view, human)


@command("plan")
@_file_options
def plan(run: Run, file: Path, sets: tuple[str, ...], name: str | None, only: str, inputs_from: str) -> None:
    """Show which size a job would get and why, what it would cost, and whether it would start now. Makes no job."""
    job_file, doors = _read(run, file, sets, name, only, inputs_from), run.doors()
    view = doors.plan(prepare(run, job_file, doors))
    run.screen.data(view, lambda: _planned(run, view, str(file)))


def _read(
    run: Run,
    file: Path,
    sets: tuple[str, ...],
    name: str | None,
    only: str,
    inputs_from: str,
    *,
    trusting: bool = False,
) -> JobFile:
    """The file, checked as far as that needs no server, so that a wrong one starts none. `trusting`: one that is up says
    what is wrong with it."""
    run.screen.locate = lambda fault: fault.message
    job_file = jobfile.read(file, [*sets, f"name={name}"] if name else list(sets))
    run.screen.locate = job_file.locate
    if only or inputs_from:
        job_file = job_file.narrowed(only, inputs_from, named=bool(name))
    if not trusting:
        job_file.check()
    return job_file


def prepare(run: Run, job_file: JobFile, doors: Doors, *, trusting: bool = False) -> View:
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
            trusting=trusting,
        )
    return {**submission.body(), "name": run.new_name()}


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
