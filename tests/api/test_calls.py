"""Several clients call at once: what they are answered has an order that one client alone could have seen."""

from __future__ import annotations

import pytest

from mayfly.testing.callers import called
from mayfly.testing.calls import Call, order, story
from mayfly.testing.chance import drawn, seed
from mayfly.testing.deaths import possible

SEED = seed()


def test_many_clients_see_one_order() -> None:
    (house,) = drawn("calls", possible())[:1]
    count, stories = called(SEED, 4.0, house)
    assert count > 20 and stories == [], "\n".join([f"seed {SEED}", *stories])


def call(kind: str, begin: float, end: float, status: int = 200, state: str = "", definition: str = "") -> Call:
    return Call(0, kind, begin, end, status, definition, state)


MADE = call("put", 0, 1, 201, definition="a")
LEGAL = {
    "nothing is there": [call("get", 0, 1, 404), call("cancel", 2, 3, 404), call("retry", 4, 5, 404)],
    "a get beside a put sees it or not": [MADE, call("get", 0.5, 3, 200, "Queued"), call("get", 0.4, 2, 404)],
    "the same again": [MADE, call("put", 2, 3, 200, definition="a"), call("put", 2, 3, 409, definition="b")],
    "it goes on by itself": [MADE, call("get", 2, 3, 200, "Running"), call("get", 4, 5, 200, "Failed")],
    "a cancel of a running job": [
        MADE,
        call("get", 2, 3, 200, "Running"),
        call("cancel", 4, 5),
        call("get", 6, 7, 200, "CancelRequested"),
        call("get", 8, 9, 200, "Canceled"),
        call("retry", 10, 11, 201),
    ],
    "a cancel that comes too late": [MADE, call("cancel", 2, 3), call("get", 4, 5, 200, "Completed")],
    "a cancel beside a get": [
        MADE,
        call("cancel", 2, 9),
        call("get", 3, 4, 200, "Queued"),
        call("get", 5, 6, 200, "Canceled"),
    ],
}
ILLEGAL = {
    "forgotten": [MADE, call("get", 2, 3, 404)],
    "before it was": [call("get", 0, 1, 200, "Queued"), call("put", 2, 3, 201, definition="a")],
    "made twice": [MADE, call("put", 2, 3, 201, definition="a")],
    "one name, two definitions": [MADE, call("put", 2, 3, 200, definition="b")],
    "backwards": [MADE, call("get", 2, 3, 200, "Running"), call("get", 4, 5, 200, "Queued")],
    "an end that is left": [MADE, call("get", 2, 3, 200, "Failed"), call("get", 4, 5, 200, "Completed")],
    "nobody asked": [MADE, call("get", 2, 3, 200, "Canceled")],
    "a cancel that was prevented nothing": [
        MADE,
        call("get", 2, 6, 200, "Queued"),
        call("cancel", 3, 4),
        call("get", 5, 8, 200, "Queued"),
        call("get", 9, 10, 200, "Running"),
    ],
    "a retry of what goes on": [MADE, call("retry", 2, 3, 201), call("get", 4, 5, 200, "Running")],
}


@pytest.mark.parametrize("name", LEGAL)
def test_an_order_is_found(name: str) -> None:
    found = order(LEGAL[name])
    assert found is not None and sorted(map(str, found)) == sorted(map(str, LEGAL[name]))


@pytest.mark.parametrize("name", ILLEGAL)
def test_what_has_no_order_is_told(name: str) -> None:
    assert order(ILLEGAL[name]) is None
    told = story("job-1", [*ILLEGAL[name], call("get", 20, 21, 404)])
    assert told is not None and "No order explains what was answered about job-1" in told


def test_a_story_keeps_what_changed_the_job() -> None:
    told = story("job-1", [MADE, call("get", 2, 3, 200, "Running"), call("get", 6, 7, 404)])
    assert told is not None and len(told.splitlines()) == 3 and "put a" in told and "404" in told
