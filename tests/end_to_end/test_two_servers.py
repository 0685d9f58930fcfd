"""Two servers of two homes have one PostgreSQL: what one was asked for the other does, shows and goes on with."""

from __future__ import annotations

import time

import pytest

from mayfly.testing.embedded import HELLO, Embedded, counting, numbered
from mayfly.testing.nodes import kill

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault, pytest.mark.timeout(300)]


def test_either_may_die_while_jobs_run_and_the_other_goes_on_with_them(pair: tuple[Embedded, Embedded]) -> None:
    one, other = pair
    assert other.call("GET", "/mayfly/v1/server")["others"] == [one.record["url"]]
    one.post({**HELLO, "name": "first"})
    assert other.wait("first")["status"] == "Completed" and other.log("first") == "hello\n"

    one.post({**counting(40), "name": "lives"})
    follower = other.begin("job", "stream", "-n", "lives")
    other.wait_log("lives", "line 3\n")
    kill(one.record["pid"])
    died = time.monotonic()
    other.post({**HELLO, "name": "second"})
    assert other.wait("second")["status"] == "Completed"
    took = time.monotonic() - died
    assert took < 10, f"the other waited {took:.0f} s for the leases of the dead"
    job = other.wait("lives")
    assert (job["status"], job["attempt"], job["exit_codes"]) == ("Completed", 1, [0]), job
    assert other.log("lives") == numbered(40)
    shown, said = follower.communicate(timeout=60)
    assert numbered(40) in shown, (shown, said)

    one.start()
    one.post({**counting(6000), "name": "stops"})
    one.wait_log("stops", "line 1\n")
    other.call("POST", "/jobs/stops/cancel", {})
    assert one.wait("stops")["status"] == "Canceled"
    assert one.log("lives") == numbered(40)
    assert not one.problems(), "each job has one history, with one end"
