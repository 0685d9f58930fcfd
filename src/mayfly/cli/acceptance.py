"""What is said of a job that the server has just accepted. Apart from reading job files, which most commands never do."""

from __future__ import annotations

from mayfly.cli import text
from mayfly.cli.run import Run
from mayfly.cli.watch import watch
from mayfly.client.doors import Doors, View


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
    reason = f" ({text.clean(job['status_reason']).removesuffix('.')})" if job.get("status_reason") else ""
    return [f"{name} is {job['status']}{reason}.", f"Follow it: mayfly job stream -n {name}"]
