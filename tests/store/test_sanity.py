"""The check finds each kind of damage, and none where nothing is damaged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from mayfly.services import submit
from mayfly.store import attempts, codec, jobs, ledgers
from mayfly.store import tables as t
from mayfly.store.sanity import sanity_check
from mayfly.testing.agent import parts_of
from mayfly.testing.snapshots import machine
from mayfly.testing.world import HERE, Scene, scene


@pytest.fixture
def sane(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    """A store with a job that runs on a GPU and another that has failed."""
    found = scene(tmp_path, database_url, machine(cores=4, gpus=["GPU-a"]))
    rows = [
        submit.submit(found.world, "ann", HERE, found.submission(name=name, resources=resources))[0]
        for name, resources in (("runs", {"instance_type": "local_4"}), ("failed", {"instance_type": "local_1"}))
    ]
    found.turn()
    parts = parts_of(found.world, rows[0].job.id, 1)
    parts[0].prepare()
    submitted = [found.row(row.job.id).job.state.value for row in rows]
    assert submitted == ["Running", "Queued"]
    store = found.world.store
    placement = store.read(lambda c: attempts.get(c, rows[0].job.id, 1)).placement
    kept = codec.load(codec.placement_text(placement))
    kept["capacity"]["gpus"] = ["GPU-a"]
    with store.engine.begin() as connection:
        connection.execute(update(t.attempts).values(placement=codec.dump(kept)))
        connection.execute(update(t.gpus).values(job=rows[0].job.id, attempt=1))
    assert store.read(sanity_check) == []
    yield found
    store.close()


def life(**values):
    return update(t.jobs).where(t.jobs.c.state == "Running").values(**values)


DAMAGE = {
    "holds .*, its attempts": update(t.ledgers).where(t.ledgers.c.held > 0).values(held=t.ledgers.c.held + 1),
    "holds -1": update(t.ledgers).where(t.ledgers.c.held > 0).values(held=-1),
    "holds 4 of 1": update(t.ledgers).where(t.ledgers.c.held > 0).values(limit=1),
    "4 cores and .* of 3": update(t.capacity).values(cores=3),
    "capacity local holds 5": update(t.capacity).values(cores_held=5),
    "GPU GPU-a": update(t.gpus).values(job=None, attempt=None),
    "without an end": life(state="Completed"),
    "is Running and has an end": life(ended_at=5),
    "without a cause": life(state="Failed", ended_at=5),
    "Completed and has a cause": life(state="Completed", ended_at=5, cause='["A","b",null]'),
    "still suspected": life(state="Completed", ended_at=5, suspected_since=4),
    "phases .* add up": life(phase_since=t.jobs.c.phase_since + 1),
    "0 ranks instead of 1": life(ranks="[]"),
    "at attempt 2, which is not there": life(attempt=2),
    "Running without an attempt": life(attempt=0),
    "ahead of its job's": life(attempt=0, state="Queued", ranks="[]"),
    "2 ranks for 1 nodes": insert(t.ranks).from_select(
        ["job", "attempt", "rank", "node", "released"],
        t.ranks.select().with_only_columns(t.ranks.c.job, t.ranks.c.attempt, t.ranks.c.rank + 1, t.ranks.c.node, t.ranks.c.released),
    ),
    "is released, its ranks": update(t.attempts).values(state="released"),
    "is released and still holds": update(t.attempts).values(state="released"),
    "nothing of it is left": update(t.ranks).values(released=True),
    "is live and holds nothing": delete(t.holds),
    "something is held for attempt 7": update(t.holds).values(attempt=7),
    "which is not there": update(t.ranks).values(node="node_nobody"),
    "which is gone": update(t.nodes).values(state="gone"),
    "is idle and works": update(t.nodes).values(idle_since=1),
    "neither idle nor working": update(t.ranks).values(released=True),
    "was never accepted": delete(t.events).where(t.events.c.type == "JobAccepted"),
    "its events end with": delete(t.events).where(t.events.c.type == "RankReady"),
    "from Provisioning, which was Queued": delete(t.events).where(t.events.c.type == "Reserved"),
    "which was not there": insert(t.logs).values(
        job="job_x", attempt=1, rank=0, node="node_x", file="f", size=3, sealed=True
    ),
}  # fmt: skip


def test_damage_is_found(sane: Scene) -> None:
    """Each in a transaction that is undone."""
    missed = {}
    with sane.world.store.engine.connect() as connection:
        for finding, damage in DAMAGE.items():
            with connection.begin() as transaction:
                connection.execute(damage)
                found = sanity_check(connection)
                if not re.search(finding, "\n".join(found)):
                    missed[finding] = found
                transaction.rollback()
    assert missed == {}
    assert sane.world.store.read(sanity_check) == []


def test_a_limit_that_a_person_lowered_is_no_damage(sane: Scene) -> None:
    store = sane.world.store
    keys = store.read(ledgers.quotas)
    for key in keys:
        store.write(lambda unit, key=key: ledgers.set_limit(unit, key, 0))
    assert store.read(sanity_check) == []


def test_two_attempts_on_one_node_are_found(sane: Scene) -> None:
    world = sane.world
    other = next(id_ for id_, name, _ in world.store.read(jobs.unfinished) if name == "failed")
    with world.store.engine.begin() as connection:
        row = connection.execute(t.ranks.select()).one()
        connection.execute(insert(t.ranks).values(job=other, attempt=1, rank=0, node=row.node, released=False))
    assert any("works for 2 ranks at once" in line for line in world.store.read(sanity_check))
