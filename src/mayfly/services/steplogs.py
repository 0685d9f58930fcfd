"""A pipeline's own log, made of rows when somebody reads it: a line for each thing that became of a step, in that order,
and at its end the last lines of the steps that failed. It only grows, for readers count its lines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection

from mayfly.domain.job import JobState
from mayfly.kit.clock import Millis
from mayfly.services import logs
from mayfly.services.graphs import graph_of
from mayfly.services.world import World
from mayfly.store import codec, jobs
from mayfly.store.jobs import JobRow

NAME = "logs/azureml/executionlogs.txt"
_MOST = 10_000
_FAILED = JobState.FAILED.value
_TOLD, _LINES, _BYTES = 3, 10, 8192
"""Of so many failed steps so many lines, which are at the end of so many bytes."""


def has(row: JobRow) -> bool:
    return row.type == jobs.PIPELINE


def text(world: World, row: JobRow) -> str:
    lines = world.store.read(lambda connection: sorted(_of(connection, row, ""), key=lambda one: one[0]))
    told = [f"[{_moment(at)}] {said}" for at, said in lines]
    if row.job.ended_at is not None:
        for path, child in world.store.read(lambda connection: list(_failed(connection, row, ""))[:_TOLD]):
            told += [f"{path} | {line}" for line in _last_lines(world, child)]
    return "".join(f"{line}\n" for line in told)


def _failed(connection: Connection, row: JobRow, path: str) -> Iterator[tuple[str, JobRow]]:
    for child in reversed(jobs.page(connection, row.workspace, _MOST, None, [_FAILED], "all", row.job.id)):
        if child.job.composite:
            yield from _failed(connection, child, f"{path}{child.step}/")
        else:
            yield f"{path}{child.step}", child


def _last_lines(world: World, child: JobRow) -> list[str]:
    """Of its own log, once that is whole."""
    own = [one for one in logs.files(world, child.job.id) if "std_log" in one.name and one.attempt == child.job.attempt]
    if not own or not own[0].sealed:
        return []
    data = logs.read(world, child.job.id, own[0], max(0, own[0].size - _BYTES), _BYTES)
    return data.decode("utf-8", "replace").splitlines()[-_LINES:]


def _of(connection: Connection, row: JobRow, path: str) -> Iterator[tuple[Millis, str]]:
    begun = set()
    for child in reversed(jobs.page(connection, row.workspace, _MOST, None, None, "all", row.job.id)):
        begun.add(child.step)
        yield from _child(connection, child, f"{path}{child.step}")
    if row.job.ended_at is None:
        return
    for step in graph_of(row).needs if codec.load(row.work).get("needs") else ():
        if step not in begun:
            yield row.job.ended_at, f"{path}{step} was not run"
    if not path:
        yield row.job.ended_at, f"The pipeline is {row.job.state.value}{_why(row)}"


def _child(connection: Connection, child: JobRow, path: str) -> Iterator[tuple[Millis, str]]:
    job = child.job
    if child.reused is not None:
        yield job.created_at, f"{path} is {child.name}, which has the results of an earlier job"
        return
    yield job.created_at, f"{path} is submitted as {child.name}"
    if child.type in (jobs.PIPELINE, *jobs.LOOPS):
        yield from _of(connection, child, f"{path}/")
    elif job.started_at is not None:
        yield job.started_at, f"{path} runs"
    if job.ended_at is not None:
        yield job.ended_at, f"{path} is {job.state.value}{_why(child)}"


def _why(row: JobRow) -> str:
    return "" if row.job.cause is None else f": {row.job.cause.message}"


def _moment(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
