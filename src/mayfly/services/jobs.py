"""What may be asked of jobs that exist."""

from __future__ import annotations

from collections.abc import Sequence

from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import CancelAsked, step
from mayfly.kit.clock import Millis
from mayfly.kit.errors import NotFound, nearest
from mayfly.services import places
from mayfly.services.moves import move
from mayfly.services.places import Place
from mayfly.services.views import job_view, list_views
from mayfly.services.world import World
from mayfly.store import children as children_rows
from mayfly.store import jobs
from mayfly.store.jobs import Change, JobRow, Which
from mayfly.store.unit import Unit
from mayfly.wire import mayfly as wire

_AT_ONCE = 200
"""Jobs in one unit: others who write wait no longer than that takes."""


def find(world: World, place: Place, name: str) -> JobRow:
    """Raises NotFound `JobNotFound` with a near name."""
    workspace = places.find(world, place)
    row = world.store.read(lambda connection: jobs.by_name(connection, workspace.id, name))
    if row is not None:
        return row
    near = nearest(name, world.store.read(lambda connection: jobs.names_like(connection, workspace.id)))
    raise NotFound(
        "JobNotFound",
        f"There is no job '{name}' in workspace {place}.",
        remedy=f"Did you mean '{near}'?" if near else "'mayfly job list' shows the jobs there are.",
    )


def show(world: World, place: Place, name: str) -> wire.JobView:
    row = find(world, place, name)
    return world.store.read(lambda connection: job_view(world, connection, row))


def view_of(world: World, job: str) -> wire.JobView | None:
    """By id, as it is now."""

    def look(connection):
        row = jobs.by_id(connection, job)
        return None if row is None else job_view(world, connection, row)

    return world.store.read(look)


def page(
    world: World,
    place: Place,
    most: int,
    after: str | None,
    states: list[str] | None,
    which: Which = "active",
    parent: str | None = None,
) -> wire.JobPage:
    """Newest first; the steps of one pipeline, else jobs that are nobody's steps."""
    workspace = places.find(world, place)
    above = find(world, place, parent).job.id if parent else None
    before = find(world, place, after).sequence if after else None

    def look(connection):
        rows = jobs.page(connection, workspace.id, most + 1, before, states, which, above)
        return wire.JobPage(jobs=list_views(world, connection, rows[:most]), more=len(rows) > most)

    return world.store.read(look)


def rows(
    world: World, place: Place, most: int, after: str | None, which: Which, parent: str | None = None
) -> list[JobRow]:
    """As `page`, as rows."""
    workspace = places.find(world, place)
    above = find(world, place, parent).job.id if parent else None
    before = find(world, place, after).sequence if after else None
    return world.store.read(lambda connection: jobs.page(connection, workspace.id, most, before, None, which, above))


def ancestors(world: World, row: JobRow) -> tuple[str, str]:
    """Names of its parent and of the outermost; '' and its own where it is nobody's child."""
    if row.parent is None:
        return "", row.name
    parent, root = row.parent, row.root or row.parent
    above = world.store.read(lambda c: [jobs.by_id(c, id) for id in (parent, root)])
    names = ["" if one is None else one.name for one in above]
    return names[0], names[1]


def archive(world: World, place: Place, name: str, *, archived: bool) -> wire.JobView:
    """Hide a job from lists, or bring it back. It may still run; nothing else of it changes."""
    row = find(world, place, name)
    world.store.write(lambda unit: jobs.archive(unit, row, archived))
    return show(world, place, name)


def update(world: World, place: Place, name: str, ask: wire.JobUpdate) -> wire.JobView:
    """Give a job other labels. What is not given stays; a tag or property that is None goes."""
    found = find(world, place, name)

    def keep(unit: Unit) -> None:
        row = jobs.lock(unit, found.job.id)
        if row is not None:
            jobs.relabel(
                unit,
                row,
                row.display_name if ask.display_name is None else ask.display_name,
                row.description if ask.description is None else ask.description,
                _labels(row.tags, ask.tags),
                _labels(row.properties, ask.properties),
            )

    world.store.write(keep)
    return show(world, place, name)


def _labels(now: dict[str, str], change: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in {**now, **change}.items() if value is not None}


def cancel(world: World, place: Place, name: str, who: str, reason: str) -> wire.JobView:
    """Durable when it returns. A job that has ended stays as it ended; that is no error."""
    found = find(world, place, name)
    cancel_by_id(world, found.job.id, _cause(who, reason))
    return show(world, place, name)


def cancel_by_id(world: World, job: str, cause: Cause) -> None:
    now = world.clock.now()

    def keep(unit: Unit) -> None:
        if _cancel(unit, job, cause, now):
            unit.passing("cancel accepted")
            unit.wake("scheduling", "nodes", "fleet", "pipelines")

    world.store.write(keep)


def cancel_all(world: World, ids: Sequence[str], cause: Cause) -> None:
    """As `cancel_by_id`, of many: those that only wait are ended together."""
    now = world.clock.now()

    def keep(unit: Unit, some: Sequence[str]) -> None:
        rows = jobs.lock_all(unit, some)
        waiting = {job: row for job, row in rows.items() if row.job.state is JobState.QUEUED and not row.job.attempt}
        ends = [Change(row, step(row.job, CancelAsked(cause), now)) for row in waiting.values()]
        jobs.change_all(unit, ends, now, CancelAsked.__name__)
        if ends:
            unit.passing("job ended")
        for job in (one for one in rows if one not in waiting):
            _cancel(unit, job, cause, now)  # as it is now: its pipeline may have been canceled just before
        unit.passing("cancel accepted")
        unit.wake("scheduling", "nodes", "fleet", "pipelines", "ended")

    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        world.store.write(lambda unit, some=some: keep(unit, some))


def _cancel(unit: Unit, job: str, cause: Cause, now: Millis) -> bool:
    """With all its children; False when it has ended."""
    row = jobs.lock(unit, job)
    if row is None or row.job.state.terminal:
        return False
    move(unit, row, CancelAsked(cause, unreachable=row.job.suspected_since is not None), now)
    below = Cause(cause.code, f"Canceled with its pipeline '{row.name}': {cause.message}")
    for child in children_rows.of(unit.connection, job) if row.job.composite else ():
        _cancel(unit, child.id, below, now)
    return True


def _cause(who: str, reason: str) -> Cause:
    because = f": {reason}" if reason else "."
    return Cause("CanceledByUser", f"Canceled by {who}{because}")
