"""`mayfly job`, for jobs that exist: list, show, explain, stream, cancel."""

from __future__ import annotations

from dataclasses import astuple

import click

from mayfly.cli import report, text
from mayfly.cli.acceptance import accepted
from mayfly.cli.app import command, job_name, one_name
from mayfly.cli.run import Run
from mayfly.cli.text import Column
from mayfly.cli.watch import watch
from mayfly.client.doors import View

_LIST = (
    Column("name", whole=True),
    Column("status", whole=True),
    Column("created"),
    Column("time", right=True),
    Column("size"),
    Column("display name"),
    Column("experiment"),
)


@command("list")
@click.option("--max-results", "-r", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--status", "-s", metavar="STATUS", help="Only jobs of this status, as Running or Failed.")
@click.option("--all-results", type=bool, is_flag=True, help="All jobs there are.")
@click.option("--include-archived", is_flag=True, help="Archived ones too.")
@click.option("--archived-only", is_flag=True, help="Only archived ones.")
@click.option("--parent-job-name", "-p", "parent", metavar="NAME", help="The steps of this pipeline.")
def list_jobs(
    run: Run,
    max_results: int,
    status: str | None,
    all_results: bool,
    include_archived: bool,
    archived_only: bool,
    parent: str | None,
) -> None:
    """List jobs, newest first; the steps of a pipeline only with --parent-job-name."""
    which = "archived" if archived_only else "all" if include_archived else "active"
    most = None if all_results else max_results
    doors = run.doors()
    jobs = list(doors.jobs(limit=most, state=status, which=which, parent=parent))
    now = run.clock.now()

    def human() -> list[str]:
        if not jobs:
            none = "No jobs" + (f" with the status {text.clean(status)}" if status else " yet")
            return [f"{none} in {text.clean('/'.join(astuple(run.place)))}.", *_elsewhere(run, doors.workspaces())]
        rows = [
            (
                job["name"],
                job["status"],
                text.ago(job["created_at"], now),
                text.span(report.total(job)),
                job.get("instance_type") or "",
                job["display_name"],
                job["experiment_name"],
            )
            for job in jobs
        ]
        return run.screen.table(_LIST, rows)

    run.screen.data(jobs, human)


def _elsewhere(run: Run, workspaces: list[View]) -> list[str]:
    """Which workspaces have jobs: a script that uses Azure's SDK names one, and commands mean another until they are told."""
    found = []
    for one in workspaces:
        names = (one["subscription"], one["resource_group"], one["name"])
        count = sum(one["jobs"].values())
        if count and names != astuple(run.place):
            subscription, group, workspace = (text.clean(name) for name in names)
            options = f"--subscription {subscription} -g {group} -w {workspace}"
            found.append(f"{count} {'job' if count == 1 else 'jobs'} elsewhere: mayfly job list {options}")
    return found


@command("show")
@job_name
@click.option("--web", "-e", is_flag=True, help="Open the page of its metrics in a browser, signed in.")
@click.option("--lineage", is_flag=True, help="What it read and wrote.")
def show(run: Run, name: str | None, positional: str | None, web: bool, lineage: bool) -> None:
    """Show one job."""
    doors, chosen = run.doors(), one_name(name, positional)
    if lineage:
        links = doors.lineage(chosen)
        run.screen.data(links, lambda: _lineage(run, links))
        return
    job = doors.job(chosen)
    if web:
        url = doors.web(chosen)
        click.launch(url)
        run.screen.data({**job, "web": url}, lambda: [f"Its page, once and within ten minutes: {url}"])
        return
    run.screen.data(job, lambda: details(run, job))


_LINKS = (Column("as", whole=True), Column("asset"), Column("where", whole=True))


def _lineage(run: Run, links: list[View]) -> list[str]:
    if not links:
        return ["It has read and written no data."]
    rows = [
        (
            f"{link['direction']} {text.clean(link['name'])}",
            f"{link['kind']} {link['asset']}:{link['version']}" if link.get("asset") else "",
            link["reference"],
        )
        for link in links
    ]
    return run.screen.table(_LINKS, rows)


@command("explain")
@job_name
def explain(run: Run, name: str | None, positional: str | None) -> None:
    """Say why a job waits, runs where it does, or ended: every second of its life, and what would start it now."""
    view = run.doors().explanation(one_name(name, positional))

    def human() -> list[str]:
        lines = [f"{text.clean(view['name'])} is {view['status']}."]
        if error := view.get("error"):
            lines.append(text.clean(error["message"]))
        lines.append(text.clean(view["sentence"]))
        if view.get("missing"):
            lines.append(f"Missing: {text.clean(view['missing'])}.")
        if view.get("place_in_queue") is not None:
            lines.append(f"Place in the queue: {view['place_in_queue']}.")
        if view["phases"]:
            lines += ["", *run.screen.table(report.PHASES, report.phase_rows(view["phases"]))]
        if view["candidates"]:
            lines += ["", *run.screen.table(report.CANDIDATES, report.candidate_rows(view["candidates"]))]
        if view.get("quota"):
            lines += ["", *run.screen.table(report.QUOTA, report.quota_rows(view["quota"]))]
        if view.get("capacity_total"):
            lines += ["", f"Capacity: {view['capacity_held']} of {view['capacity_total']} cores held."]
        return lines + report.advice(view)

    run.screen.data(view, human)


@command("stream")
@job_name
def stream(run: Run, name: str | None, positional: str | None) -> int:
    """Follow a job's log until it ends. Ctrl-C stops following and leaves the job alone."""
    chosen = one_name(name, positional)
    doors = run.doors()
    doors.job(chosen)
    return watch(run, doors, chosen)


@command("cancel")
@job_name
@click.option("--reason", default="", metavar="TEXT", help="Kept with the job.")
def cancel(run: Run, name: str | None, positional: str | None, reason: str) -> None:
    """Cancel a job. A job that has ended stays as it is."""
    job = run.doors().cancel(one_name(name, positional), reason)
    run.screen.data(job, lambda: [f"{text.clean(job['name'])} is {job['status']}."])


@command("retry")
@job_name
@click.option("--stream", "-s", is_flag=True, help="Follow the new job until it ends, then report.")
def retry(run: Run, name: str | None, positional: str | None, stream: bool) -> int:
    """Try a failed or canceled job again, as another job. Of a pipeline, steps that had completed are not run again."""
    doors = run.doors()
    return accepted(run, doors, doors.retry(one_name(name, positional), run.new_name()), stream)


@command("archive")
@job_name
def archive(run: Run, name: str | None, positional: str | None) -> None:
    """Hide a job from lists. It keeps all it has, and goes on if it runs."""
    job = run.doors().archive_job(one_name(name, positional))
    run.screen.data(job, lambda: [f"Archived {text.clean(job['name'])}."])


@command("restore")
@job_name
def restore(run: Run, name: str | None, positional: str | None) -> None:
    """Bring an archived job back into lists."""
    job = run.doors().archive_job(one_name(name, positional), restore=True)
    run.screen.data(job, lambda: [f"Restored {text.clean(job['name'])}."])


def details(run: Run, job: View) -> list[str]:
    """A job, for people."""
    now = run.clock.now()
    original = (job.get("properties") or {}).get("azureml.reusedrunid", "")
    lines = [
        report.field("Name", job["name"]),
        report.field("Status", job["status"] + (f" ({job['status_reason']})" if job.get("status_reason") else "")),
    ]
    if (error := job.get("error")) is not None:
        lines.append(report.field("Error", f"{error['message']} [{error['code']}]"))
        lines += [report.field("Hint", error["remedy"])] if error.get("remedy") else []
    if job.get("not_responding_since"):
        lines.append(report.field("Silent", f"since {text.moment(job['not_responding_since'], now)}"))
    facts = {
        "Doing": job.get("phase_detail") or "",
        "Display": job["display_name"],
        "About": job.get("description"),
        "Group": job["experiment_name"],
        "Created": f"{text.moment(job['created_at'], now)} by {job['submitter']}",
        "Started": text.moment(job.get("started_at"), now),
        "Ended": text.moment(job.get("ended_at"), now),
        "Step": f"{job['step']} of {job['parent_job_name']}" if job.get("step") else "",
        "Reused": f"it did not run: {original} did the same" if original else "",
        "Compute": "" if job["type"] == "pipeline" or original else job["compute"],
        "Size": "" if job["type"] == "pipeline" or original else report.size(job),
        "Software": " ".join(filter(None, [job.get("environment"), job.get("environment_note")])),
        "Isolated": ", ".join(filter(None, [job.get("isolation"), *(job.get("limits_enforced") or [])])),
        "Use": report.used(job["use"]) if job.get("use") else "",
        "Exit": ", ".join(map(str, job.get("exit_codes") or [])),
        "Metrics": ", ".join(f"{key} {text.number(value)}" for key, value in (job.get("metrics") or {}).items()),
        "Tags": ", ".join(f"{key}={value}" for key, value in (job.get("tags") or {}).items()),
        "Outputs": ", ".join(o["name"] for o in job.get("outputs") or []),
    }
    lines += [report.field(label, value) for label, value in facts.items() if value]
    lines += [report.field("Note", note) for note in job.get("notes") or []]
    if steps := job.get("steps"):
        return [*lines, "", *run.screen.table(report.STEPS, report.step_rows(steps))]
    return [*lines, "", *run.screen.table(report.PHASES, report.phase_rows(job["phases"]))]
