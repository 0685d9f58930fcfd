"""A job as it happens: nothing lost, nothing twice, whatever is cut where."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import event

from mayfly.services import jobs, logs
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.nodes import until
from mayfly.testing.serving import WS, House
from mayfly.testing.world import HERE
from mayfly.wire import agent as wire

OUT = "user_logs/std_log.txt"


def start(house: House, name: str = "one") -> Part:
    made = house.ask("POST", "jobs", json=house.body(name=name))
    house.stage.turn()
    return parts_of(house.stage.world, made.json()["id"], 1)[0]


def write(house: House, part: Part, offset: int, data: bytes) -> None:
    logs.append(house.stage.world, part.agent.node, part.fence.job, 1, 0, OUT, offset, data)


def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


class Follower:
    """Reads a stream on a thread of its own."""

    def __init__(self, house: House, offsets: dict[str, int] | None = None) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.times: list[float] = []
        self._house = house
        self._query = {} if offsets is None else {"offsets": json.dumps(offsets)}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with (
            self._house.client() as client,
            client.stream("GET", f"{WS}/jobs/one/stream", params=self._query) as answer,
        ):
            for event in events(answer):
                self.times.append(time.monotonic())
                self.seen.append(event)

    def logs(self) -> list[dict[str, Any]]:
        return [data for kind, data in self.seen if kind == "log"]

    def text(self) -> str:
        return "".join(one["text"] for one in self.logs())

    def end(self) -> list[tuple[str, dict[str, Any]]]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.seen


def test_a_stream_tells_states_and_lines_and_ends(house: House) -> None:
    part = start(house)
    follower = Follower(house)
    until(lambda: follower.seen)
    part.prepare()
    write(house, part, 0, b"one\n")
    until(lambda: follower.text() == "one\n")
    write(house, part, 4, b"two\n")
    part.finish()
    seen = follower.end()
    assert seen[0][0] == "job" and [kind for kind, _ in seen].count("end") == 1
    statuses = [data["status"] for kind, data in seen if kind == "job"]
    assert statuses[0] == "Provisioning" and "Running" in statuses
    assert seen[-1][0] == "end" and seen[-1][1]["status"] == "Completed"
    assert follower.text() == "one\ntwo\n"


def test_characters_cut_by_appends_arrive_whole(house: House) -> None:
    part = start(house)
    text = "größer 🚀 naïve\n日本\n"
    data = text.encode()
    follower = Follower(house)
    for offset in range(len(data)):
        write(house, part, offset, data[offset : offset + 1])
    until(lambda: follower.text() == text)
    assert "\ufffd" not in follower.text()
    told = follower.logs()
    assert [one["offset"] for one in told[1:]] == [one["next"] for one in told[:-1]]
    assert all(data[one["offset"] : one["next"]].decode() == one["text"] for one in told)
    jobs.cancel(house.stage.world, HERE, "one", "ann", "")
    follower.end()
    part.tell(part.released())


def test_who_comes_back_misses_nothing_and_gets_nothing_twice(house: House) -> None:
    part = start(house)
    data = "zeile eins\nzwölf 🚀\nend\n".encode()
    write(house, part, 0, data)
    part.run()
    whole = Follower(house)
    whole.end()
    assert whole.text().encode() == data
    for offset in (1, 11, 13, 15, 18, 22, len(data)):
        assert offset == len(data) or data[offset] & 0xC0 != 0x80, "`next` is never inside a character"
        again = Follower(house, {OUT: offset})
        again.end()
        assert again.text().encode() == data[offset:]


def test_bytes_that_are_no_text_are_marked_and_counted(house: House) -> None:
    part = start(house)
    write(house, part, 0, b"a\xff\xfeb\xe2\x82")
    part.run()
    follower = Follower(house)
    follower.end()
    assert follower.text().replace("\ufffd", "?") in ("a??b?", "a??b??")
    assert follower.logs()[-1]["next"] == 6


def test_a_large_log_comes_whole(house: House) -> None:
    part = start(house)
    data = "".join(f"{number} ä\n" for number in range(60_000)).encode()
    write(house, part, 0, data)
    part.run()
    follower = Follower(house)
    follower.end()
    assert follower.text().encode() == data
    read = house.ask("GET", f"jobs/one/logs/{OUT}", params={"offset": 7})
    assert read.content == data[7:]
    assert house.ask("GET", "jobs/one/logs").json()["logs"][0]["size"] == len(data)


def test_all_ranks_are_in_the_stream_under_names_of_their_own(house: House) -> None:
    body = house.body(name="one", resources={"instance_type": "local_1", "instance_count": 2})
    job = house.ask("POST", "jobs", json=body).json()["id"]
    house.stage.turn()
    parts = parts_of(house.stage.world, job, 1)
    for part in parts:
        logs.append(house.stage.world, part.agent.node, job, 1, part.rank, OUT, 0, f"rank {part.rank}\n".encode())
        part.prepare()
    for part in parts:
        part.finish()
    follower = Follower(house)
    follower.end()
    assert {one["file"]: one["text"] for one in follower.logs()} == {OUT: "rank 0\n", f"node_1/{OUT}": "rank 1\n"}


@pytest.mark.parametrize("offsets", ["x", "[]", '{"a": "b"}', '{"a": null}', "1"])
def test_bad_offsets_are_refused(house: House, offsets: str) -> None:
    part = start(house)
    answer = house.ask("GET", "jobs/one/stream", params={"offsets": offsets})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "OffsetsInvalid"
    jobs.cancel(house.stage.world, HERE, "one", "ann", "")
    part.tell(part.released())


# --- the agents' long poll --------------------------------------------------------------------------------------------


@contextmanager
def asking(house: House, node: str, seen: int) -> Iterator[list[tuple[float, wire.Wishes]]]:
    """A call that waits, on a thread; what it answered and when."""
    answers: list[tuple[float, wire.Wishes]] = []

    def ask() -> None:
        told = msgspec.json.encode(wire.WishesAsk(node=node, seen=seen, wait_s=5))
        with house.client("node", node) as client:
            found = client.post("/agent/v1/wishes", content=told)
        answers.append((time.monotonic(), msgspec.json.decode(found.content, type=wire.Wishes)))

    thread = threading.Thread(target=ask)
    thread.start()
    yield answers
    thread.join(20)
    assert len(answers) == 1


def test_a_waiting_agent_is_answered_at_once_when_its_wishes_change(house: House) -> None:
    part = start(house)
    now = msgspec.json.encode(wire.WishesAsk(node=part.agent.node, seen=-1, wait_s=5))
    with house.client("node", part.agent.node) as client:
        first = msgspec.json.decode(client.post("/agent/v1/wishes", content=now).content, type=wire.Wishes)
    delays = []
    for change in (lambda: part.tell(part.ready()), lambda: jobs.cancel(house.stage.world, HERE, "one", "ann", "")):
        with asking(house, part.agent.node, first.version) as answers:
            until(lambda: house.stage.world.wakeups.heard_by(f"node:{part.agent.node}"))
            changed = time.monotonic()
            change()
        delays.append(answers[0][0] - changed)
        assert answers[0][1].version > first.version
        first = answers[0][1]
    assert first.attempts[0].action == "stop"
    assert min(delays) < 0.2, delays
    part.tell(part.exited(143, before_stop=False), part.collected(), part.released())


def test_reports_by_http_are_answered_with_the_next_wishes(house: House) -> None:
    part = start(house)
    told = msgspec.json.encode(wire.Reports(node=part.agent.node, reports=(part.ready(),)))
    with house.client("node", part.agent.node) as client:
        found = msgspec.json.decode(client.post("/agent/v1/reports", content=told).content, type=wire.Wishes)
        log = client.post(
            "/agent/v1/logs",
            params={"job": part.fence.job, "attempt": 1, "epoch": 1, "rank": 0, "file": OUT, "offset": 0},
            content=b"hello",
        )
    assert found.attempts[0].action == "run" and found.attempts[0].go is not None
    assert log.json() == {"offset": 5}
    part.finish()


def test_one_look_serves_all_who_follow(house: House) -> None:
    part = start(house)
    part.prepare()
    write(house, part, 0, b"first\n")
    followers = [Follower(house) for _ in range(10)]
    until(lambda: all(one.text() == "first\n" for one in followers))
    engine, statements = house.stage.world.store.engine, []
    note = lambda *found: statements.append(found[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", note)
    for number in range(5):
        write(house, part, 6 + 2 * number, b"x\n")
        until(lambda number=number: all(one.text().count("x") > number for one in followers))
    event.remove(engine, "before_cursor_execute", note)
    assert len(statements) <= 5 * 3, statements  # of whoever wrote the lines; streams ask nothing
    part.finish()
    assert all(one.end()[-1][0] == "end" for one in followers)
    assert all(one.text() == "first\n" + 5 * "x\n" for one in followers)


def test_who_does_not_read_holds_nobody_up(house: House) -> None:
    part = start(house)
    part.prepare()
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as idle:
        token = house.token("user", "ann")
        idle.sendall(f"GET {WS}/jobs/one/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        follower, line = Follower(house), b"~" * (1 << 16)
        for number in range(200):  # more than the sockets take, and more than is kept
            write(house, part, number * len(line), line)
        part.finish()
        assert follower.end()[-1][0] == "end" and len(follower.text()) == 200 * len(line)
        with idle.makefile("rb") as late:
            assert b"".join(iter(late.readline, b"0\r\n")).count(b"~") == 200 * len(line)
