"""Death of everything that Mayfly is made of, while a job runs; then life goes on and the job's end is its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from mayfly.testing.embedded import Embedded, alive, counting, numbered
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault]

LINES = 30


def kill(*pids: int) -> None:
    for pid in pids:
        assert pid
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids))


def _server(one: Embedded, node: str) -> None:
    one.kill_server()


def _agent(one: Embedded, node: str) -> None:
    kill(one.agent(node))


def _watchdog(one: Embedded, node: str) -> None:
    kill(one.watchdog(node))


def _server_and_agent(one: Embedded, node: str) -> None:
    kill(one.record["pid"], one.agent(node))


def _watchdog_and_agent(one: Embedded, node: str) -> None:
    kill(one.watchdog(node), one.agent(node))


def _all_but_the_job(one: Embedded, node: str) -> None:
    kill(one.record["pid"], one.watchdog(node), one.agent(node))


DEATHS: dict[str, Callable[[Embedded, str], None]] = {
    "server": _server,
    "agent": _agent,
    "watchdog": _watchdog,
    "server and agent": _server_and_agent,
    "watchdog and agent": _watchdog_and_agent,
    "server, watchdog and agent": _all_but_the_job,
}


def running(one: Embedded, lines: int = LINES, status: int = 0) -> tuple[str, str, int]:
    """A job that writes its lines: its name, its node, its process."""
    name = one.submit(counting(lines, status=status))
    one.wait_log(name, "line 3\n")
    one.wait(name, "Running")
    node = one.nodes()[0]
    return name, node, until(lambda: one.user_process(node))


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_costs_a_job_nothing(embedded: Embedded, death: str) -> None:
    name, node, pid = running(embedded, status=3)
    DEATHS[death](embedded, node)
    assert alive(pid)
    if not embedded.up:
        embedded.start()
    job = embedded.wait(name, "Failed")
    assert job["exit_codes"] == [3]
    assert (job["error"]["code"], job["attempt"]) == ("UserProcessFailed", 1)
    assert embedded.log(name) == numbered(LINES)
