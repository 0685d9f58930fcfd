"""A gang that lost a node, and is put back in the queue while the other node still works for it."""

from __future__ import annotations

from pathlib import Path

from mayfly.domain.job import JobState
from mayfly.domain.node import DrainAsked, NodeState
from mayfly.services import submit
from mayfly.store import nodes
from mayfly.testing.agent import Agent, parts_of
from mayfly.testing.snapshots import machine
from mayfly.testing.world import HERE, Scene, scene


def _gang(tmp_path: Path, url: str) -> tuple[Scene, str]:
    found = scene(tmp_path, url, machine(cores=2))
    wish = found.submission(
        resources={"instance_type": "local_1", "instance_count": 2}, queue_settings={"job_tier": "Spot"}
    )
    row, _ = submit.submit(found.world, "ann", HERE, wish)
    found.turn()
    return found, row.job.id


def test_the_rest_of_a_lost_gang_is_discarded_and_its_facts_are_evidence(tmp_path: Path, database_url: str) -> None:
    found, job = _gang(tmp_path, database_url)
    gone, left = parts_of(found.world, job, 1)
    left.tell(left.phase("environment"))
    found.provider.vanish(gone.agent.node)
    found.turn()
    assert found.row(job).job.state is JobState.QUEUED and not found.row(job).job.ranks
    left.tell(left.ready())  # it does not know yet; this must not stand in the way of all it has to tell
    assert left.agent.wish().action == "discard"
    left.tell(left.exited(0), left.collected(), left.released())
    found.turn()
    again = parts_of(found.world, job, 2)
    for part in again:
        part.prepare()
    for part in again:
        part.finish()
    assert found.row(job).job.state is JobState.COMPLETED
    found.world.store.close()


def test_a_draining_node_waits_for_what_it_was_not_told_yet(tmp_path: Path, database_url: str) -> None:
    found = scene(tmp_path, database_url, machine(cores=1))
    conda = {"dependencies": ["python", {"pip": ["numpy"]}]}
    wish = found.submission(environment={"image": "python:3", "conda_file": conda})
    row, _ = submit.submit(found.world, "ann", HERE, wish)
    found.turn()
    (node,) = found.world.store.read(nodes.present)
    agent = Agent(found.world, node.id)
    agent.hello()
    found.world.store.write(lambda unit: nodes.apply(unit, node, DrainAsked(), found.clock.now()))
    told = agent.wishes()
    assert (told.node, told.attempts) == ("keep", ())
    (kept,) = found.world.store.read(nodes.present)
    assert kept.state is NodeState.DRAINING and found.row(row.job.id).job.state is JobState.PROVISIONING
    found.world.store.close()
