"""All laws over the whole store in one place: what must be true between any two units of work."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from mayfly.domain.job import JobState
from mayfly.kit.ids import JobId
from mayfly.store import builds, codec, ledgers, tables

Key = tuple[str, int]
"""(job, attempt)."""

_PLACED = frozenset(
    {JobState.PROVISIONING, JobState.PREPARING, JobState.RUNNING, JobState.FINALIZING, JobState.CANCEL_REQUESTED}
)


@dataclass(frozen=True, slots=True)
class _Store:
    jobs: Mapping[str, Row[Any]]
    attempts: Mapping[Key, Row[Any]]
    ranks: Mapping[Key, list[Row[Any]]]
    nodes: Mapping[str, Row[Any]]
    holds: Mapping[Key, list[Row[Any]]]

    def working(self) -> Iterator[tuple[Key, Row[Any]]]:
        """Ranks of which something may be left on their node."""
        for key, ranks in self.ranks.items():
            for rank in ranks:
                if not rank.released:
                    yield key, rank


def sanity_check(connection: Connection) -> list[str]:
    """Every broken law, as a sentence; empty when the store is sane. Reads every row: for tests and for repairs."""
    store = _Store(
        jobs={row.id: row for row in _all(connection, tables.jobs)},
        attempts={(row.job, row.attempt): row for row in _all(connection, tables.attempts)},
        ranks=_by_attempt(connection, tables.ranks),
        nodes={row.id: row for row in _all(connection, tables.nodes)},
        holds=_by_attempt(connection, tables.holds),
    )
    return [
        *ledgers.check(connection),
        *_limits(connection),
        *_gpus(connection, store),
        *_lives(store),
        *_placed(store),
        *_holding(store),
        *_building(connection, store),
        *_working(store),
        *_histories(connection, store),
        *_logs(connection, store),
        *_families(store),
    ]


def _all(connection: Connection, table: Table) -> list[Row[Any]]:
    return list(connection.execute(select(table)))


def _by_attempt(connection: Connection, table: Table) -> dict[Key, list[Row[Any]]]:
    found: dict[Key, list[Row[Any]]] = defaultdict(list)
    for row in _all(connection, table):
        found[(row.job, row.attempt)].append(row)
    return found


def _limits(connection: Connection) -> Iterator[str]:
    """Nothing negative, nothing overdrawn; only a person may lower a limit below what is held."""
    for row in _all(connection, tables.ledgers):
        where = f"ledger {row.scope} {row.family} {row.tier}"
        if row.held < 0:
            yield f"{where} holds {row.held}"
        if row.limit is not None and row.held > row.limit and not row.set_by_user:
            yield f"{where} holds {row.held} of {row.limit}"
    for row in _all(connection, tables.capacity):
        if not (0 <= row.cores_held <= row.cores and 0 <= row.memory_held <= row.memory_mib):
            yield (
                f"capacity {row.provider} holds {row.cores_held} cores and {row.memory_held} MiB "
                f"of {row.cores} and {row.memory_mib}"
            )


def _gpus(connection: Connection, store: _Store) -> Iterator[str]:
    """A GPU is held by exactly the live attempt that was placed on it."""
    held = {row.uuid: (row.job, row.attempt) for row in _all(connection, tables.gpus) if row.job is not None}
    wanted: dict[str, Key] = {}
    for key, attempt in store.attempts.items():
        if attempt.state == "live":
            wanted |= dict.fromkeys(codec.placement_of(attempt.placement).capacity.gpus, key)
    for uuid in sorted(held.keys() | wanted.keys()):
        if held.get(uuid) != wanted.get(uuid):
            yield f"GPU {uuid} is held by {held.get(uuid)}, and placed for {wanted.get(uuid)}"


def _lives(store: _Store) -> Iterator[str]:
    """What a state says about the other columns of its row."""
    for job in store.jobs.values():
        state = JobState(job.state)
        if state.terminal and job.ended_at is None:
            yield f"{job.id} is {state} without an end"
        if not state.terminal and job.ended_at is not None:
            yield f"{job.id} is {state} and has an end"
        if state in (JobState.FAILED, JobState.CANCELED) and job.cause is None:
            yield f"{job.id} is {state} without a cause"
        if state is JobState.COMPLETED and job.cause is not None:
            yield f"{job.id} is Completed and has a cause"
        if state.terminal and job.suspected_since is not None:
            yield f"{job.id} is {state} and still suspected"
        spent = sum(codec.phases_of(job.phases).values())
        if spent != job.phase_since - job.created_at:
            yield f"the phases of {job.id} add up to {spent} ms, not to {job.phase_since - job.created_at}"
        ranks = len(codec.ranks_of(job.ranks))
        expected = job.node_count if state in _PLACED else 0 if state is JobState.QUEUED else ranks
        if ranks != expected:
            yield f"{job.id} is {state} with {ranks} ranks instead of {expected}"


def _placed(store: _Store) -> Iterator[str]:
    """A job that is placed has its current attempt, and no attempt is ahead of its job."""
    for job in store.jobs.values():
        if job.attempt and (job.id, job.attempt) not in store.attempts:
            yield f"{job.id} is at attempt {job.attempt}, which is not there"
        if JobState(job.state) in _PLACED and not job.attempt and job.node_count:
            yield f"{job.id} is {job.state} without an attempt"
    for (name, number), attempt in store.attempts.items():
        job = store.jobs.get(name)
        if job is None:
            yield f"attempt {number} belongs to {name}, which is not there"
        elif number > job.attempt:
            yield f"attempt {number} of {name} is ahead of its job's {job.attempt}"
        placement, ranks = codec.placement_of(attempt.placement), store.ranks.get((name, number), [])
        if sorted(rank.rank for rank in ranks) != list(range(placement.node_count)):
            yield f"attempt {number} of {name} has {len(ranks)} ranks for {placement.node_count} nodes"


def _holding(store: _Store) -> Iterator[str]:
    """An attempt is live exactly as long as one of its ranks is unreleased, and holds exactly as long as it is live."""
    for (name, number), attempt in store.attempts.items():
        left = [rank.rank for rank in store.ranks.get((name, number), []) if not rank.released]
        if attempt.state == "released" and left:
            yield f"attempt {number} of {name} is released, its ranks {left} are not"
        if attempt.state != "released" and not left:
            yield f"attempt {number} of {name} is {attempt.state} and nothing of it is left"
        if attempt.state != "released" and (name, number) not in store.holds:
            yield f"attempt {number} of {name} is {attempt.state} and holds nothing"
    for name, number in store.holds:
        if (name, number) not in store.attempts and not builds.is_build(JobId(name)):
            yield f"something is held for attempt {number} of {name}, which is not there"


def _building(connection: Connection, store: _Store) -> Iterator[str]:
    """A build holds exactly as long as it is placed, and is placed only while it is wanted."""
    placed = {builds.name(row.digest): row for row in builds.held(connection)}
    for name, row in placed.items():
        if (name, 0) not in store.holds:
            yield f"{name} is placed and holds nothing"
        if row.state != "wanted":
            yield f"{name} is {row.state} and still placed"
    for name, _ in store.holds:
        if builds.is_build(JobId(name)) and name not in placed:
            yield f"something is held for {name}, which is not placed"


def _working(store: _Store) -> Iterator[str]:
    """Unreleased ranks stand on known nodes, one attempt a node; idle nodes have none."""
    busy: Counter[str] = Counter()
    for (name, number), rank in store.working():
        node = store.nodes.get(rank.node)
        busy[rank.node] += 1
        if node is None:
            yield f"rank {rank.rank} of attempt {number} of {name} is on {rank.node}, which is not there"
        elif node.state == "gone":
            yield f"rank {rank.rank} of attempt {number} of {name} is on {rank.node}, which is gone"
    for node, count in sorted(busy.items()):
        if count > 1:
            yield f"{node} works for {count} ranks at once"
    for node in store.nodes.values():
        if node.idle_since is not None and busy[node.id]:
            yield f"{node.id} is idle and works"
        if node.idle_since is None and not busy[node.id] and node.state == "ready":
            yield f"{node.id} is ready, neither idle nor working"


def _families(store: _Store) -> Iterator[str]:
    """A step is begun once; nothing of a job goes on when the job has ended; its parents are there."""
    begun: Counter[tuple[str, str]] = Counter((job.parent, job.step) for job in store.jobs.values() if job.parent)
    for (parent, step), count in begun.items():
        if count > 1:
            yield f"{parent} has begun its step {step} {count} times"
    for job in store.jobs.values():
        parent = store.jobs.get(job.parent) if job.parent else None
        if job.parent and (parent is None or job.root not in store.jobs):
            yield f"{job.id} is a child of {job.parent}, which is not there"
        if parent is not None and JobState(parent.state).terminal and not JobState(job.state).terminal:
            yield f"{job.id} goes on, its parent {job.parent} has ended"


def _histories(connection: Connection, store: _Store) -> Iterator[str]:
    """The events of a job tell its states without a gap, up to the present one."""
    last: dict[str, str] = {}
    seen: set[str] = set()
    for row in connection.execute(select(tables.events).order_by(tables.events.c.sequence)):
        if row.thing not in store.jobs:
            continue
        data = codec.load(row.data)
        if row.type == "JobAccepted":
            seen.add(row.thing)
        if "to" in data:
            before = last.get(row.thing, JobState.QUEUED.value)
            if data["from"] != before:
                yield f"event {row.sequence} moves {row.thing} from {data['from']}, which was {before}"
            last[row.thing] = data["to"]
    for job in store.jobs.values():
        if job.id not in seen:
            yield f"{job.id} was never accepted"
        if last.get(job.id, JobState.QUEUED.value) != job.state:
            yield f"{job.id} is {job.state}, its events end with {last.get(job.id, JobState.QUEUED.value)}"


def _logs(connection: Connection, store: _Store) -> Iterator[str]:
    """A log belongs to a rank that there was, on its node."""
    for row in _all(connection, tables.logs):
        what = f"log {row.file} of rank {row.rank} of attempt {row.attempt} of {row.job}"
        nodes = {rank.rank: rank.node for rank in store.ranks.get((row.job, row.attempt), [])}
        if nodes.get(row.rank) != row.node:
            yield f"{what} came from {row.node}, which was not there"
        if row.size < 0:
            yield f"{what} has {row.size} bytes"
