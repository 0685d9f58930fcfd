"""Who waits for an answer goes first."""

from __future__ import annotations

import time

from mayfly.services.courtesy import PART, Courtesy


def test_while_people_come_most_of_the_time_is_theirs() -> None:
    courtesy = Courtesy()
    with courtesy.serving():
        pass
    began, worked = time.monotonic(), time.thread_time()
    with courtesy.in_turns():
        while (spent := time.thread_time() - worked) < 0.01:
            pass
    assert time.monotonic() - began >= spent / PART
