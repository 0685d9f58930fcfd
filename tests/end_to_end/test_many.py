"""Many commands, streams and submissions at once, and what is left when there is nothing to do: nothing."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mayfly.testing.chance import ALL
from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded, Make, counting, numbered
from mayfly.testing.nodes import alive, until

pytestmark = pytest.mark.end_to_end

AT_ONCE = 10
STREAMS = 1_000 if ALL else 150


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


def test_the_same_submission_twenty_times_is_one_job(embedded: Embedded) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(embedded.post, [{**counting(2), "name": "once"}] * 20))
    assert answers == ["once"] * 20
    assert embedded.wait("once", "Completed")["attempt"] == 1
    assert embedded.log("once") == numbered(2)
    assert len(embedded.call("GET", "/jobs")["jobs"]) == 1


def test_every_stream_of_many_has_the_whole_log(embedded: Embedded) -> None:
    name = embedded.post(counting(12, pause_s=0.4))
    token = (embedded.folder / "token").read_text().strip()
    host, _, port = embedded.record["url"].removeprefix("http://").partition(":")
    ask = f"GET {WORKSPACE}/jobs/{name}/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"

    async def follow() -> str:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(ask.encode())
        told = b""
        while not told.endswith(b"0\r\n\r\n") and (piece := await reader.read(1 << 16)):
            told += piece
        writer.close()
        return told.decode()

    async def follow_all() -> list[str]:
        return await asyncio.gather(*(follow() for _ in range(STREAMS)))

    for told in asyncio.run(follow_all()):
        found = [told.find(f"line {number}\\n") for number in range(1, 13)]
        assert -1 not in found and found == sorted(found), told
