"""A node's life."""

import pytest

from mayfly.domain.node import (
    Assigned,
    ClockSetBack,
    Created,
    DrainAsked,
    Freed,
    Heard,
    IdleTimedOut,
    Node,
    NodeEvent,
    NodeState,
    Refused,
    SeenGone,
    ServerRestarted,
    ahead,
    idle_too_long,
    step,
    suspected,
)
from mayfly.kit.clock import Millis
from mayfly.kit.ids import GroupId, NodeId

NEW = Node(NodeId("n"), GroupId("g"), "local_1", Millis(0))


def after(*events: tuple[int, NodeEvent]) -> Node:
    node = NEW
    for at, event in events:
        node = step(node, event, Millis(at))
    return node


READY = ((0, Created()), (5, Heard()))


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), NodeState.WISHED),
        (((1, Created()),), NodeState.CREATING),
        (READY, NodeState.READY),
        (((5, Heard()),), NodeState.READY),
        ((*READY, (9, Created())), NodeState.READY),
        ((*READY, (9, IdleTimedOut())), NodeState.READY),
        ((*READY, (9, Freed()), (10, IdleTimedOut())), NodeState.DELETING),
        ((*READY, (9, DrainAsked())), NodeState.DRAINING),
        ((*READY, (9, DrainAsked()), (10, Freed())), NodeState.DELETING),
        ((*READY, (9, Freed()), (10, DrainAsked())), NodeState.DELETING),
        ((*READY, (9, Freed()), (10, Assigned()), (11, IdleTimedOut())), NodeState.READY),
        (((1, Refused("no room")),), NodeState.GONE),
        ((*READY, (9, SeenGone()), (10, Heard())), NodeState.GONE),
    ],
)
def test_states(events: tuple[tuple[int, NodeEvent], ...], state: NodeState) -> None:
    assert after(*events).state is state


def test_idle_time_begins_anew_on_each_release() -> None:
    node = after(*READY, (10, Freed()), (100, Assigned()), (200, Freed()), (250, Freed()))
    assert node.idle_since == 200
    assert not idle_too_long(node, Millis(319), limit=120) and idle_too_long(node, Millis(320), limit=120)
    assert not idle_too_long(step(node, Assigned(), Millis(300)), Millis(9999), limit=120)


def test_a_node_is_given_to_one_attempt_at_a_time() -> None:
    free = after(*READY, (9, Freed()))
    taken = step(free, Assigned(), Millis(10))
    assert taken is not free and step(taken, Assigned(), Millis(11)) is taken


def test_a_leaving_node_takes_nothing_new() -> None:
    node = after(*READY, (9, Freed()), (10, DrainAsked()))
    assert step(node, Assigned(), Millis(11)) is node


def test_suspicion_is_shown_and_kills_nothing() -> None:
    node = after(*READY)
    assert not suspected(node, Millis(8_005)) and suspected(node, Millis(8_006))
    assert not suspected(NEW, Millis(99_999)), "it has never been there to be missed"
    assert step(node, Heard(), Millis(50_000)).state is NodeState.READY


def test_after_a_restart_of_the_server_every_node_gets_a_full_window() -> None:
    node = step(after(*READY), ServerRestarted(), Millis(60_000))
    assert not suspected(node, Millis(68_000)) and suspected(node, Millis(68_001))


def test_a_clock_that_was_set_back_begins_idle_time_anew() -> None:
    idle = after(*READY, (900_000, Freed()))
    assert ahead(idle, Millis(10)) and not idle_too_long(idle, Millis(10), 100)
    mended = step(idle, ClockSetBack(), Millis(10))
    assert not ahead(mended, Millis(10)) and mended.state is NodeState.READY
    assert idle_too_long(mended, Millis(110), 100)
    assert step(mended, ClockSetBack(), Millis(50)) is mended
