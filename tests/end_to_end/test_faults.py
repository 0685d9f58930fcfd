"""Death of everything that Mayfly is made of, while a job runs; then life goes on and the job's end is its own."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Callable

import pytest

from mayfly.testing.chance import drawn
from mayfly.testing.embedded import Embedded, Make, counting, numbered
from mayfly.testing.nodes import alive, kill, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault]

LINES = 30


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


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def running(one: Embedded, lines: int = LINES, status: int = 0) -> tuple[str, str, int]:
    """A job that writes its lines: its name, its node, its process."""
    name = one.post(counting(lines, status=status))
    one.wait_log(name, "line 3\n")
    one.wait(name, "Running")
    node = one.nodes()[0]
    return name, node, until(lambda: one.user_process(node))


@pytest.mark.parametrize("death", drawn("death", DEATHS, 2))
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


@pytest.mark.parametrize("who", drawn("who dies", ["server", "agent", "server and agent"]))
def test_death_at_a_random_moment(embedded: Embedded, who: str) -> None:
    """Anywhere between the submission and the end; the moment is in the failure's text."""
    moment = random.uniform(0.0, 2.0)
    name = embedded.post(counting(8))
    threading.Event().wait(moment)
    node = next(iter(embedded.nodes()), "")
    pids = [embedded.record["pid"]] if "server" in who else []
    pids += [embedded.agent(node)] if "agent" in who and node else []
    kill(*[pid for pid in pids if pid])
    if not embedded.up:
        embedded.start()
    job = embedded.wait(name)
    assert (job["status"], embedded.log(name)) == ("Completed", numbered(8)), (moment, job["error"])


def test_a_killed_supervisor_is_told_as_what_it_is(embedded: Embedded) -> None:
    """With it dies the only one who could have known the exit status; nothing of the job is left."""
    name, node, pid = running(embedded)
    kill(embedded.supervisor(node))
    job = embedded.wait(name, "Failed")
    assert job["error"]["code"] == "SupervisorLost"
    assert not alive(pid)
    assert numbered(LINES).startswith(embedded.log(name))


def test_everything_of_a_node_is_killed(embedded: Embedded) -> None:
    name, node, pid = running(embedded)
    kill(embedded.watchdog(node), embedded.agent(node), embedded.supervisor(node))
    job = embedded.wait(name, "Failed")
    assert job["error"]["code"] in ("SupervisorLost", "NodeLost")
    assert not alive(pid)
    assert "line 3\n" in embedded.log(name) and numbered(LINES).startswith(embedded.log(name))
    assert embedded.wait(embedded.post(counting(2)), "Completed")


def test_a_silent_agent_is_suspected_and_costs_nothing(embedded: Embedded) -> None:
    name, node, pid = running(embedded, lines=130)
    agent = embedded.agent(node)
    os.kill(agent, signal.SIGSTOP)
    job = embedded.wait(name, "NotResponding", 20)
    assert job["not_responding_since"]
    assert alive(pid)
    os.kill(agent, signal.SIGCONT)
    assert embedded.wait(name, "Running")["not_responding_since"] is None
    embedded.wait(name, "Completed")
    assert embedded.log(name) == numbered(130)


def test_a_job_ends_while_no_server_is_there(embedded: Embedded) -> None:
    name, node, pid = running(embedded, lines=12, status=4)
    embedded.kill_server()
    until(lambda: not alive(pid))
    until(lambda: list((embedded.folder / "nodes" / node / "attempts").glob("*/exited.json")))
    embedded.start()
    job = embedded.wait(name, "Failed")
    assert job["exit_codes"] == [4]
    assert embedded.log(name) == numbered(12)


def test_the_server_comes_back_on_another_port(embedded: Embedded) -> None:
    name, _node, pid = running(embedded)
    port = int(embedded.record["url"].rpartition(":")[2])
    embedded.kill_server()
    until(lambda: not listens(port))  # the last of its threads has let go
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        embedded.start()
        assert not embedded.record["url"].endswith(f":{port}")
        embedded.wait(name, "Completed")
    assert embedded.log(name) == numbered(LINES)
    assert not alive(pid)


def test_down_lets_a_job_go_on_and_the_next_command_finds_it(embedded: Embedded) -> None:
    name, node, pid = running(embedded, 3 * LINES)
    said = embedded.run("down")
    assert said.status == 0, said.err
    assert name in said.out and "Until" in said.out
    assert not embedded.up
    assert alive(pid)
    shown = embedded.run("job", "stream", "-n", name, MAYFLY_AUTOSTART="1")
    assert shown.status == 0, shown.err
    assert "Starting the embedded Mayfly server" in shown.err
    assert embedded.user_process(node) in (0, pid)
    assert embedded.log(name) == numbered(3 * LINES)
    assert numbered(3 * LINES) in shown.out


def test_a_stream_outlives_the_server(embedded: Embedded) -> None:
    name, _node, _pid = running(embedded)
    with embedded.begin("job", "stream", "-n", name) as stream:
        assert stream.stdout is not None
        said = stream.stdout.readline()
        embedded.kill_server()
        embedded.start()
        said += stream.stdout.read()
    assert stream.returncode == 0
    assert said.startswith(numbered(LINES))


@pytest.mark.parametrize("pause_s", drawn("pause", [0.0, 0.2, 0.5, 0.8], 2))
def test_cancel_races_the_start(shared: Embedded, pause_s: float) -> None:
    """Whichever wins: the end is Canceled, and nothing runs afterwards."""
    name = shared.post({**counting(600)})
    threading.Event().wait(pause_s)
    shared.call("POST", f"/jobs/{name}/cancel", {})
    shared.wait(name, "Canceled")
    until(lambda: not any(shared.user_process(node) for node in shared.nodes()))


def test_kill_of_the_machines_whole_mayfly_while_canceling(embedded: Embedded) -> None:
    name, node, pid = running(embedded, lines=600)
    embedded.call("POST", f"/jobs/{name}/cancel", {})
    kill(*[one for one in (embedded.record["pid"], embedded.agent(node)) if one])
    embedded.start()
    embedded.wait(name, "Canceled")
    until(lambda: not alive(pid))


def test_an_agent_that_never_comes_is_given_up(fresh: Make) -> None:
    one = fresh(MAYFLY_GRACE_S="not a number", MAYFLY_GREETING_SECONDS="3")  # it dies of that, each time
    one.start()
    job = one.wait(one.post(counting(1)), "Failed")
    assert job["error"]["code"] == "NodeLost"
    assert "never called" in job["error"]["message"]
    until(lambda: not one.nodes())


COUNT = min(2, len(os.sched_getaffinity(0)))
GANG = {
    **counting(25),
    "resources": {"instance_type": "local_1", "instance_count": COUNT},
    "distribution": {"type": "pytorch"},
}


def test_a_gang_survives_its_agents_and_ends_together(embedded: Embedded) -> None:
    name = embedded.post(GANG)
    embedded.wait(name, "Running")
    kill(*[until(lambda node=node: embedded.agent(node)) for node in embedded.nodes()])
    embedded.kill_server()
    embedded.start()
    assert embedded.wait(name, "Completed")["exit_codes"] == [0] * COUNT
    logs = [log["file"] for log in embedded.call("GET", f"/jobs/{name}/logs")["logs"]]
    assert [embedded.log(name, file) for file in logs] == [numbered(25)] * COUNT

    name = embedded.post(GANG)
    embedded.wait(name, "Running")
    nodes = [node for node in embedded.nodes() if until(lambda node=node: embedded.user_process(node))]
    pids = [embedded.user_process(node) for node in nodes]
    kill(embedded.supervisor(nodes[-1]))
    assert embedded.wait(name, "Failed")["error"]["code"] == "SupervisorLost"
    until(lambda: not any(alive(pid) for pid in pids))
