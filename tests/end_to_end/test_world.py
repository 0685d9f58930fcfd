"""The world around a server fails and comes back: jobs go on, what could not be kept is refused, nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from mayfly.testing.chance import ALL, drawn
from mayfly.testing.databases import HOUSE
from mayfly.testing.embedded import HELLO, Embedded, Make, counting, numbered
from mayfly.testing.faulty import Clock, disk, network, read_only
from mayfly.testing.nodes import alive, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault]

DAY_S = 86_400
LARGE = {
    **HELLO,
    "command": "yes 0123456789abcdef0123456789abcdef | head -c 6000000; head -c 6000000 /dev/zero > outputs/z",
}


WAITS = {**HELLO, "command": "trap 'echo over; exit 0' USR1; echo begun; while :; do sleep 0.1; done"}
"""Until it is told."""


def _runs_still(one: Embedded, pid: int) -> None:
    """A new job runs, and the process of the old one lives."""
    assert alive(pid)
    name = one.post(HELLO)
    one.wait(name, "Completed")
    assert one.log(name) == "hello\n"


@pytest.mark.skipif(HOUSE != "sqlite", reason="the disk of a PostgreSQL is its own")
def test_a_full_store_refuses_what_it_cannot_keep_and_forgets_nothing(fresh: Make, tmp_path: Path) -> None:
    one = fresh()
    with disk(one.folder, 64) as full:
        for name in ("nodes", "logs", "content", "cache"):
            full.lend(name, tmp_path / "outside" / name)
        one.start()
        running = one.post(counting(20))
        one.wait_log(running, "line 2\n")
        full.fill()
        said = one.run("job", "create", "-f", str(one.write({**HELLO, "name": "refused"})))
        assert said.status == 5 and "[StoreUnavailable]" in said.err and "Free disk space" in said.err, said
        (node,) = one.nodes()
        process = one.user_process(node)
        until(lambda: not alive(process))
        assert one.job(running)["status"] in ("Running", "Finalizing", "NotResponding")
        full.free()
        one.wait(running, "Completed")
        assert one.log(running) == numbered(20)
        assert one.run("job", "show", "-n", "refused").status == 4
        one.post({**HELLO, "name": "refused"})
        one.wait("refused", "Completed")
        until(lambda: not one.problems())
        one.finish()


@pytest.mark.parametrize("where", drawn("full disk", ["logs", "content"]))
def test_a_full_disk_for_logs_or_outputs_only_delays(fresh: Make, tmp_path: Path, where: str) -> None:
    one = fresh()
    with disk(one.folder / where, 2) as full:  # smaller than what the job leaves
        one.start()
        name = one.post(LARGE)
        until(lambda: "DiskFull" in one.all_logs())
        assert one.job(name)["status"] in ("Running", "Finalizing", "NotResponding"), one.job(name)
        assert "state folder is full" in one.run("job", "explain", "-n", name).out
        full.grow(64)
        one.wait(name, "Completed")
        assert len(one.log(name)) == 6_000_000
        assert one.run("job", "download", "-n", name, "--all", "-p", str(tmp_path)).status == 0
        assert (tmp_path / "artifacts" / "outputs" / "z").stat().st_size == 6_000_000
        until(lambda: not one.problems())
        one.finish()


def test_a_server_says_that_its_store_is_read_only(fresh: Make) -> None:
    one = fresh()
    one.start()
    name = one.post(counting(30))
    one.wait_log(name, "line 1\n")
    one.kill_server()
    with read_only(one.folder):
        said = one.run("up", "--detach")  # who may not write there cannot serve
        assert said.status == 3 and "[StateFolderUnusable]" in said.err, said
    one.start()
    one.wait(name, "Completed")
    assert one.log(name) == numbered(30)


@pytest.mark.parametrize("off_s", drawn("clock", [-DAY_S, DAY_S]))
def test_a_clock_that_is_set_changes_nothing(fresh: Make, tmp_path: Path, off_s: int) -> None:
    clock = Clock(tmp_path)
    one = fresh(**clock.environ)
    one.start()
    name = one.post(WAITS)
    one.wait_log(name, "begun\n")
    (node,) = one.nodes()
    process = one.user_process(node)
    clock.set(off_s)
    _runs_still(one, process)
    one.kill_server()
    until(lambda: not one.up)
    one.start()
    _runs_still(one, process)
    os.kill(process, signal.SIGUSR1)
    job = one.wait(name, "Completed")
    assert (job["attempt"], job["exit_codes"], one.log(name)) == (1, [0], "begun\nover\n")
    until(lambda: not any(row["held"] for row in one.call("GET", "/usage")))
    until(lambda: not one.problems())


@pytest.mark.parametrize(
    "cut_s", [10, *([5, 60] if ALL else [])]
)  # 10: longer than the silence that makes a node suspect
def test_a_network_that_was_cut_costs_nothing(fresh: Make, cut_s: int) -> None:
    with network() as loopback:
        one = fresh()
        one.start()
        name = one.post(counting(60))
        one.wait_log(name, "line 2\n")
        loopback.cut()
        time.sleep(cut_s)
        loopback.heal()
        assert until(lambda: one.job(name)["status"] == "Running")
        job = one.wait(name, "Completed")
        assert (job["attempt"], job["exit_codes"], one.log(name)) == (1, [0], numbered(60))
        until(lambda: not one.problems())
        one.finish()


def test_a_node_that_is_cut_off_for_longer_than_it_may_ends_by_itself(fresh: Make) -> None:
    with network() as loopback:
        one = fresh(MAYFLY_ORPHAN_SECONDS="6")
        one.start()
        name = one.post(counting(6000))
        one.wait_log(name, "line 2\n")
        (node,) = one.nodes()
        process = one.user_process(node)
        loopback.cut()
        until(lambda: not alive(process))
        until(lambda: not one.watchdog(node))
        loopback.heal()
        job = one.wait(name, "Failed")
        assert (job["error"]["code"], job["attempt"]) == ("NodeLost", 1), job
        assert numbered(6000).startswith(one.log(name))
        _runs_again(one)
        one.finish()


def _runs_again(one: Embedded) -> None:
    name = one.post(HELLO)
    one.wait(name, "Completed")
    assert one.log(name) == "hello\n"
    until(lambda: not any(row["held"] for row in one.call("GET", "/usage")))
    until(lambda: not one.problems())
