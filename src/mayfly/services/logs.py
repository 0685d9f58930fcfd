"""Logs on the server: what agents send, and what readers follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mayfly.kit.errors import NotFound
from mayfly.services.world import World
from mayfly.store import attempts, jobs, logs
from mayfly.store.logs import LogRow

MOST = 1 << 18
"""Bytes read at once for one event of a stream."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of one rank, under the name a reader sees."""

    name: str
    attempt: int
    rank: int
    file: str
    sealed: bool
    size: int


def append(world: World, node: str, job: str, attempt: int, rank: int, file: str, offset: int, data: bytes) -> int:
    """Take bytes from the node that holds the rank; the size the server has. Late bytes of a job that has ended are
    taken too: a log may complete after the end, never change. Raises NotFound `RankNotFound` for anybody else."""
    mine = world.store.read(lambda connection: attempts.ranks_of(connection, job, attempt))
    if not any(one.rank == rank and one.node == node for one in mine):
        raise NotFound("RankNotFound", f"Node {node} has no rank {rank} of attempt {attempt} of {job}.")
    if offset == 0:
        row = LogRow(job, attempt, rank, node, file, 0, False)
        world.store.write(lambda unit: logs.ensure(unit, row))
    size = world.logs.append(job, attempt, rank, file, offset, data)
    world.wakeups.wake({f"log:{job}"})
    return size


def files(world: World, job: str) -> list[LogFile]:
    """Every log file of a job: attempts in order, the build's before the command's."""

    def sealed(connection) -> tuple[int, set[tuple[int, int, str]]]:
        row = jobs.by_id(connection, job)
        known = {(one.attempt, one.rank, one.file) for one in logs.of(connection, job) if one.sealed}
        return (row.job.attempt if row is not None else 0), known

    last, known = world.store.read(sealed)
    return [replace(one, sealed=(one.attempt, one.rank, one.file) in known) for one in names(world, job, last)]


def names(world: World, job: str, last: int) -> list[LogFile]:
    """As `files`, of the attempts up to `last`, without asking the store which are sealed."""
    found = []
    for attempt in range(1, max(1, last) + 1):
        for rank, file in sorted(world.logs.files(job, attempt), key=lambda one: (_order(one[1]), one[0], one[1])):
            size = world.logs.size(job, attempt, rank, file)
            found.append(LogFile(_name(attempt, rank, file), attempt, rank, file, False, size))
    return found


def find(world: World, job: str, name: str) -> LogFile:
    """Raises NotFound `LogNotFound`."""
    for one in files(world, job):
        if one.name == name:
            return one
    raise NotFound("LogNotFound", f"There is no log file '{name}'.", remedy="See 'logs' of the job for the names.")


def read(world: World, job: str, log: LogFile, offset: int, most: int = MOST) -> bytes:
    return world.logs.read(job, log.attempt, log.rank, log.file, offset, most)


def chunks(world: World, job: str, log: LogFile, offset: int) -> Iterator[bytes]:
    """The file from `offset` to its present end."""
    while data := read(world, job, log, offset):
        yield data
        offset += len(data)


def _name(attempt: int, rank: int, file: str) -> str:
    """The name a reader sees never changes once it is given: other ranks and later attempts have a folder."""
    shown = file if rank == 0 or "std_log_process_" in file else f"node_{rank}/{file}"
    return shown if attempt == 1 else f"attempt_{attempt}/{shown}"


def _order(file: str) -> int:
    return 0 if file.startswith("azureml-logs/") or "build" in file else 1
