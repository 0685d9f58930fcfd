"""Facts from nodes, applied in order in one unit of work. A report whose fence is not the present one changes nothing
that Mayfly publishes; what it says is kept as evidence (promise 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mayfly.domain.fence import current, holds
from mayfly.domain.job import Job, JobState, RankState
from mayfly.kit.clock import Millis
from mayfly.services import outputs
from mayfly.services.environments import WAITING
from mayfly.services.facts import events
from mayfly.services.moves import Course
from mayfly.services.world import World
from mayfly.store import attempts, checkpoints, environments, jobs, results
from mayfly.store import logs as log_rows
from mayfly.store.attempts import RankRow
from mayfly.store.jobs import JobRow
from mayfly.store.results import OutputRow
from mayfly.store.unit import Unit
from mayfly.wire import agent

PACKAGE_GONE = "EnvironmentPackageGone"
"""A node's word: what the lock names cannot be had any more."""
GONE = (PACKAGE_GONE, "ImageGone")
"""What the environment's plan names is not there any more."""


def apply(world: World, node: str, reports: tuple[agent.AnyReport, ...]) -> None:
    """All or none; durable when it returns. May be repeated, and reports may come twice or late. How far a phase is
    costs the store nothing."""
    moving = [one for one in reports if isinstance(one, agent.PhaseEntered) and world.progress.goes_on(node, one)]
    if moving:
        world.wakeups.wake({f"job:{report.fence.job}" for report in moving})
        reports = tuple(report for report in reports if report not in moving)
    if not reports:
        return
    if all(isinstance(report, agent.Sample) for report in reports):
        world.store.submit(lambda unit: _apply(world, unit, node, reports)).result()
        return
    world.store.write(lambda unit: _apply(world, unit, node, reports))
    for report in reports:
        if isinstance(report, agent.Released):
            world.contacts.dropped(node, (report.fence.job, report.fence.attempt, report.fence.epoch))


def _apply(world: World, unit: Unit, node: str, reports: tuple[agent.AnyReport, ...]) -> None:
    heard, last = world.clock.now(), max(report.at for report in reports)
    courses: dict[tuple[str, int], Course] = {}
    for report in reports:
        now = Millis(heard - (last - report.at))  # reports that came together keep their distances
        job, attempt = report.fence.job, report.fence.attempt
        course = courses.get((job, attempt)) or courses.setdefault((job, attempt), Course(unit, job, attempt))
        rank = _rank(course, node, report)
        if rank is not None:
            _apply_one(world, course, node, rank, report, now)
    for course in courses.values():
        course.keep()


def _apply_one(world: World, course: Course, node: str, rank: RankRow, report: agent.AnyReport, now: Millis) -> None:
    if isinstance(report, agent.Released):
        world.progress.over(report.fence, rank.rank)
        course.release(rank, now)
        return
    row = course.row
    if row is None:
        return
    admits = current if isinstance(report, agent.Sample) else holds  # what it used may be told after its end
    if not admits(row.job, rank.attempt, report.fence.epoch, present=world.epoch):
        course.note(rank, late=msgspec.json.encode(report).decode())
        return
    before = row.job.ranks[rank.rank]
    _HANDLERS[type(report)](course, row, rank, report, now)
    if not isinstance(report, agent.PhaseEntered | agent.Sample):
        world.progress.over(report.fence, rank.rank)
    elif isinstance(report, agent.PhaseEntered) and not before.reached(RankState.READY):
        world.progress.began(node, report)
    if isinstance(report, agent.Collected) and not before.reached(RankState.COLLECTED):
        outputs.collected(world, course.unit, course.row or row, rank, report, now)


def _rank(course: Course, node: str, report: agent.Report) -> RankRow | None:
    for rank in course.ranks:
        # an agent that was told to discard what it never knew cannot know its rank: it is the one its node has
        if rank.node == node and (rank.rank == report.rank or isinstance(report, agent.Released)):
            return rank
    return None


def _moved(course: Course, row: JobRow, report: agent.Report, now: Millis) -> Job:
    """What has become of the job."""
    for event in events(row.job, report):
        course.move(event, now)
    return (course.row or row).job


def _phase(course: Course, row: JobRow, rank: RankRow, report: agent.PhaseEntered, now: Millis) -> None:
    _moved(course, row, report, now)
    course.unit.passing("phase entered")


def _ready(course: Course, row: JobRow, rank: RankRow, report: agent.Ready, now: Millis) -> None:
    unit = course.unit
    if not row.job.ranks[rank.rank].reached(RankState.READY):
        course.note(rank, address=report.address, ports=report.ports)
    if report.note:
        jobs.add_note(unit, row, report.note)
    job = _moved(course, row, report, now)
    unit.passing("rank ready")
    attempt = attempts.get(unit.connection, rank.job, rank.attempt)
    if job.state is JobState.RUNNING and attempt is not None and attempt.go is None:
        peers = tuple(agent.Peer(address=one.address or "127.0.0.1", ports=one.ports) for one in course.ranks)
        attempts.set_go(unit, rank.job, rank.attempt, agent.Go(peers=peers))


def _started(course: Course, row: JobRow, rank: RankRow, report: agent.Started, now: Millis) -> None:
    course.note(rank, isolation=report.isolation, limits=report.limits)
    if report.note:
        jobs.add_note(course.unit, row, report.note)
    _moved(course, row, report, now)
    course.unit.passing("rank started")


def _exited(course: Course, row: JobRow, rank: RankRow, report: agent.Exited, now: Millis) -> None:
    course.note(rank, exits=report.exits)
    _moved(course, row, report, now)
    course.unit.passing("rank exited")


def _unprepared(course: Course, row: JobRow, rank: RankRow, report: agent.PreparationFailed, now: Millis) -> None:
    unit = course.unit
    if report.code == PACKAGE_GONE:
        remedy = f"Submit the job again: another lock is found for it; `mayfly environment build {row.environment[:12]}` finds it now."
        report = msgspec.structs.replace(report, remedy=remedy)
    _moved(course, row, report, now)
    if report.code in GONE:
        course.keep()  # it waits for that environment no more
        others = jobs.any_waiting_for(unit.connection, row.environment, WAITING)
        environments.doubt(unit, row.environment, wanted=others)
        unit.wake("environments", "nodes")


def _collected(course: Course, row: JobRow, rank: RankRow, report: agent.Collected, now: Millis) -> None:
    unit = course.unit
    kept = [OutputRow(rank.rank, one.name, one.tree, one.files, one.bytes) for one in report.outputs]
    for output in kept:
        results.add_output(unit, rank.job, rank.attempt, output)
    if kept and row.job.node_count == 1:
        checkpoints.forget(unit, rank.job, rank.rank)
    elif kept:  # another rank may still lose its node, and then all begin again
        checkpoints.keep(unit, rank.job, rank.attempt, rank.rank, kept)
    log_rows.seal(unit, rank.job, rank.attempt, rank.rank, report.logs, rank.node)
    if report.message and not report.code:
        jobs.add_note(unit, row, report.message)
    _moved(course, row, report, now)


def _checkpointed(course: Course, row: JobRow, rank: RankRow, report: agent.Checkpointed, now: Millis) -> None:
    if row.job.ranks[rank.rank].reached(RankState.COLLECTED):
        return
    rows = [OutputRow(rank.rank, one.name, one.tree, one.files, one.bytes) for one in report.outputs]
    checkpoints.keep(course.unit, rank.job, rank.attempt, rank.rank, rows)
    course.unit.passing("checkpoint kept")


def _sample(course: Course, row: JobRow, rank: RankRow, report: agent.Sample, now: Millis) -> None:
    course.note(rank, sample=report)


_HANDLERS: Mapping[type, Callable[[Course, JobRow, RankRow, Any, Millis], None]] = {
    agent.PhaseEntered: _phase,
    agent.Ready: _ready,
    agent.Started: _started,
    agent.Exited: _exited,
    agent.PreparationFailed: _unprepared,
    agent.Checkpointed: _checkpointed,
    agent.Collected: _collected,
    agent.Sample: _sample,
}
