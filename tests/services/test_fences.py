"""Who may still speak for a job, and what a clock that was set back changes: nothing but times."""

from __future__ import annotations

import msgspec
import pytest

from mayfly.engine.fleet import tend
from mayfly.engine.scheduling import schedule
from mayfly.engine.watching import watch
from mayfly.kit.errors import Forbidden
from mayfly.ports.compute import Presence
from mayfly.services import jobs, journals, outputs, submit
from mayfly.services.assignments import attempt_subject
from mayfly.services.attempts import context_of, live
from mayfly.services.nodes import WishBook
from mayfly.store import nodes, results
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire import mayfly as wire
from mayfly.wire.journal import Entry


def start(stage: Scene, name: str = "one", **changes) -> list[Part]:
    sent = stage.submission(name=name, **{"resources": {"instance_type": "local_1"}, **changes})
    job = submit.submit(stage.world, "ann", HERE, sent)[0].job.id
    stage.turn()
    return parts_of(stage.world, job, 1)


def view(stage: Scene, name: str = "one") -> wire.JobView:
    return jobs.show(stage.world, HERE, name)


def test_an_attempt_that_was_given_up_may_not_publish_while_its_job_waits_for_the_next(stage: Scene) -> None:
    gang = {"instance_type": "local_1", "instance_count": 2}
    lost, left = start(stage, queue_settings={"job_tier": "spot"}, resources=gang)
    for part in (lost, left):
        part.prepare()
    job, node = left.fence.job, left.agent.node
    assert live(stage.world, attempt_subject(left.fence))
    stage.provider.vanish(lost.agent.node)
    tend(stage.world)
    assert (view(stage).status, view(stage).attempt) == ("Queued", 1)
    assert not live(stage.world, attempt_subject(left.fence)), "its token"
    with pytest.raises(Forbidden):
        context_of(stage.world, node, f"{job}/1")
    with pytest.raises(Forbidden):
        outputs.live(stage.world, node, left.fence)
    point = msgspec.json.encode(Entry(run=stage.row(job).run, metrics=(("loss", 1.0, 0, 0),))) + b"\n"
    assert journals.append(stage.world, node, job, 1, 1, 0, point) == len(point), "it need not wait"
    assert stage.world.store.read(lambda c: results.metrics_of(c, job)) == []


def test_silence_is_seen_though_the_clock_was_set_back(stage: Scene) -> None:
    (part,) = start(stage)
    part.prepare()
    part.agent.wishes()
    stage.clock.advance(-86_400_000)
    tend(stage.world)
    assert watch(stage.world) is not None and view(stage).status == "Running"
    stage.clock.advance(9_000)
    watch(stage.world)
    assert view(stage).status == "NotResponding"
    part.agent.wishes()
    part.finish()
    stage.clock.advance(-86_400_000)
    tend(stage.world)
    stage.clock.advance(120_000)
    tend(stage.world)
    tend(stage.world)
    assert stage.world.store.read(nodes.present) == [], "its idle time begins anew, it does not last a day longer"


def test_a_node_that_cannot_be_brought_back_now_holds_up_no_other(stage: Scene) -> None:
    (down,), (gone,) = start(stage, "one"), start(stage, "two")
    stage.provider.go_down(down.agent.node)
    stage.provider.vanish(gone.agent.node)
    stage.provider.refuses = "no more processes"
    tend(stage.world)
    assert (view(stage, "one").status, view(stage, "two").status) == ("Provisioning", "Failed")
    stage.provider.refuses = ""
    tend(stage.world)
    assert stage.provider.machines.created.count(down.agent.node) == 2


def test_wishes_are_newer_after_a_restart_though_the_clock_was_set_back(stage: Scene) -> None:
    (part,) = start(stage)
    before = part.agent.wishes().version
    stage.clock.advance(-86_400_000)
    assert WishBook(stage.world).read(part.agent.node).version > before


def test_machines_of_a_group_that_was_cut_off_and_then_refused_are_not_left_behind(stage: Scene) -> None:
    sent = stage.submission(name="one", resources={"instance_type": "local_1", "instance_count": 2})
    submit.submit(stage.world, "ann", HERE, sent)
    schedule(stage.world)
    one, two = stage.world.store.read(nodes.present)
    stage.provider.machines.present[one.id] = Presence.READY  # the server died here the last time
    stage.provider.refuses = "no more processes"
    tend(stage.world)
    assert stage.provider.machines.present == {} and view(stage).status == "Failed"
    assert two.id != one.id and stage.world.store.read(nodes.present) == []
