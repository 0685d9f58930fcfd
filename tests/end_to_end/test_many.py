"""Many commands at once, and what is left when there is nothing to do: nothing."""

from __future__ import annotations

import json

import pytest

from mayfly.testing.embedded import HELLO, Make
from mayfly.testing.nodes import alive, until

pytestmark = pytest.mark.end_to_end

AT_ONCE = 10


@pytest.mark.timeout(300)
def test_first_submissions_at_once(fresh: Make) -> None:
    one = fresh(MAYFLY_AUTOSTART="1")
    path = str(one.write(HELLO, "hello.yml"))
    commands = [one.begin("job", "create", "-f", path, "-o", "json") for _ in range(AT_ONCE)]
    said = [(*command.communicate(timeout=100), command.returncode) for command in commands]
    assert [(err, status) for _, err, status in said if status] == []
    names = {json.loads(out)["name"] for out, _, _ in said}
    assert len(names) == AT_ONCE
    assert sum("Starting the embedded Mayfly server" in err for _, err, _ in said) == 1
    for name in names:
        assert one.wait(name, "Completed", 90)["exit_codes"] == [0]
        assert one.log(name) == "hello\n"
    until(lambda: not any(row["held"] for row in one.call("GET", "/usage")))
    assert one.problems() == []


def test_idle_nodes_go_and_then_a_server_that_nobody_asked_for(fresh: Make) -> None:
    one = fresh(MAYFLY_AUTOSTART="1", MAYFLY_IDLE_SECONDS="1", MAYFLY_SERVER_IDLE_SECONDS="5")
    said = one.run("job", "create", "-s", "-f", str(one.write(HELLO)))
    assert said.status == 0, said.err
    pid = one.record["pid"]
    until(lambda: not one.nodes())
    until(lambda: not alive(pid))
    until(lambda: not one.processes())
    assert one.record == {}
    assert one.problems() == []
