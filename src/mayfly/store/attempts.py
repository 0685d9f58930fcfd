"""Attempts and their ranks: which node works for whom under which fence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from mayfly.domain.compute import Placement
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, NodeId
from mayfly.store import codec
from mayfly.store.statements import Statement
from mayfly.store.tables import attempts, ranks
from mayfly.store.unit import Unit
from mayfly.wire import agent

_OF = (attempts.c.job == bindparam("of"), attempts.c.attempt == bindparam("at"))
_RANK_OF = (ranks.c.job == bindparam("of"), ranks.c.attempt == bindparam("at"))
_ATTEMPT = Statement(select(attempts).where(*_OF))
_ADD, _ADD_RANKS = Statement(insert(attempts)), Statement(insert(ranks))
_SET_GO = Statement(update(attempts).where(*_OF).values(go=bindparam("told")))
_RELEASE = Statement(update(attempts).where(*_OF).values(state="released", released_at=bindparam("now")))
_PLACEMENTS = select(attempts.c.job, attempts.c.attempt, attempts.c.placement).where(
    attempts.c.job.in_(bindparam("of", expanding=True))
)
_RANKS = Statement(select(ranks).where(*_RANK_OF).order_by(ranks.c.rank))
_ON_NODE = Statement(select(ranks).where(ranks.c.node == bindparam("there"), ranks.c.released.is_(False)))
_BUSY = Statement(select(ranks.c.node, ranks.c.job, ranks.c.attempt).where(ranks.c.released.is_(False)))


@dataclass(frozen=True, slots=True)
class Attempt:
    job: JobId
    attempt: int
    epoch: int
    placement: Placement
    state: str
    """live, or released: nothing of it is left anywhere and it holds nothing."""
    go: agent.Go | None
    created_at: Millis


@dataclass(frozen=True, slots=True)
class RankRow:
    job: JobId
    attempt: int
    rank: int
    node: NodeId
    released: bool
    address: str | None
    ports: tuple[int, ...]
    isolation: str | None
    limits: tuple[str, ...]
    exits: tuple[agent.ProcessExit, ...]
    sample: agent.Sample | None


def add(unit: Unit, made: Sequence[tuple[Attempt, Sequence[NodeId]]]) -> None:
    """Attempts, each with the nodes of its ranks."""
    _ADD.run_all(
        unit.connection,
        [
            {
                "job": one.job,
                "attempt": one.attempt,
                "epoch": one.epoch,
                "placement": codec.placement_text(one.placement),
                "state": one.state,
                "created_at": one.created_at,
            }
            for one, _ in made
        ],
    )
    _ADD_RANKS.run_all(
        unit.connection,
        [
            {"job": one.job, "attempt": one.attempt, "rank": rank, "node": node, "released": False}
            for one, nodes in made
            for rank, node in enumerate(nodes)
        ],
    )


def get(connection: Connection, job: str, attempt: int) -> Attempt | None:
    row = _ATTEMPT.one(connection, {"of": job, "at": attempt})
    return None if row is None else _attempt(row)


def placements(connection: Connection, which: Sequence[tuple[str, int]]) -> dict[str, Placement]:
    """Of these attempts, by their jobs."""
    if not which:
        return {}
    wanted = dict(which)
    rows = connection.execute(_PLACEMENTS, {"of": list(wanted)})
    return {row.job: codec.placement_of(row.placement) for row in rows if row.attempt == wanted[row.job]}


def live(connection: Connection) -> list[Attempt]:
    """Those that still hold something."""
    return [_attempt(row) for row in connection.execute(select(attempts).where(attempts.c.state == "live"))]


def set_go(unit: Unit, job: JobId, attempt: int, go: agent.Go) -> None:
    _SET_GO.run(unit.connection, {"of": job, "at": attempt, "told": msgspec.json.encode(go).decode()})


def release(unit: Unit, job: JobId, attempt: int, now: Millis) -> None:
    _RELEASE.run(unit.connection, {"of": job, "at": attempt, "now": now})


def ranks_of(connection: Connection, job: str, attempt: int) -> list[RankRow]:
    return [_rank(row) for row in _RANKS.all(connection, {"of": job, "at": attempt})]


def on_node(connection: Connection, node: str) -> list[RankRow]:
    """The ranks that this node still works for."""
    return [_rank(row) for row in _ON_NODE.all(connection, {"there": node})]


def busy_nodes(connection: Connection) -> dict[str, list[tuple[str, int]]]:
    """Node → the (job, attempt) pairs it still works for."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in _BUSY.all(connection):
        found.setdefault(row.node, []).append((row.job, row.attempt))
    return found


def note(unit: Unit, rank: RankRow, **values: Any) -> None:
    """Keep facts of a rank: released, address, ports, isolation, limits, exits, sample, late."""
    kept = {
        key: value if isinstance(value, str | bool | None) else msgspec.json.encode(value).decode()
        for key, value in values.items()
    }
    _noting(tuple(kept)).run(unit.connection, {"of": rank.job, "at": rank.attempt, "which": rank.rank, **kept})


@lru_cache(maxsize=64)
def _noting(columns: tuple[str, ...]) -> Statement:
    values = {name: bindparam(name) for name in columns}
    return Statement(update(ranks).where(*_RANK_OF, ranks.c.rank == bindparam("which")).values(values))


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        JobId(row.job),
        row.attempt,
        row.epoch,
        codec.placement_of(row.placement),
        row.state,
        None if row.go is None else msgspec.json.decode(row.go, type=agent.Go),
        Millis(row.created_at),
    )


def _rank(row: Row[Any]) -> RankRow:
    return RankRow(
        job=JobId(row.job),
        attempt=row.attempt,
        rank=row.rank,
        node=NodeId(row.node),
        released=row.released,
        address=row.address,
        ports=() if row.ports is None else tuple(codec.load(row.ports)),
        isolation=row.isolation,
        limits=() if row.limits is None else tuple(codec.load(row.limits)),
        exits=() if row.exits is None else msgspec.json.decode(row.exits, type=tuple[agent.ProcessExit, ...]),
        sample=None if row.sample is None else msgspec.json.decode(row.sample, type=agent.Sample),
    )
