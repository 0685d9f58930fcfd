"""Tracking calls of a job, through its node."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest

from mayfly.testing.nodes import Nodes, assignment, kill, until
from mayfly.wire import agent as wire

CALL = (
    "import os,urllib.request as u;"
    "r=u.Request(os.environ['MLFLOW_TRACKING_URI']+'/api/2.0/mlflow/runs/log-metric?x=1',data=b'{{\"key\":\"{key}\"}}',"
    "headers={{'Authorization':'Bearer '+os.environ['MLFLOW_TRACKING_TOKEN'],'Content-Type':'application/json'}});"
    "print(u.urlopen(r).read().decode(),flush=True)"
)


def test_a_call_arrives_with_the_attempts_name_and_survives_the_server(nodes: Nodes) -> None:
    node = nodes.start()
    first, second = CALL.format(key="a"), CALL.format(key="b")
    command = f'python -c "{_quoted(first)}"; echo first; read line < <(sleep 0.4); python -c "{_quoted(second)}"; echo second'
    nodes.server.assign(node, assignment("j", command))
    nodes.server.wait(lambda: "first" in nodes.server.log("j"))
    nodes.server.stop()
    log = nodes.folder(node) / "attempts" / "j-1" / "user_logs" / "std_log.txt"
    until(lambda: "first" in log.read_text(encoding="utf-8"))
    nodes.server.start()
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j").count('{"tracked": true}') == 2
    assert [(method, path, fence, json.loads(body)["key"]) for method, path, fence, body in nodes.server.tracked] == [
        ("POST", "/mlflow/api/2.0/mlflow/runs/log-metric", "j/1", "a"),
        ("POST", "/mlflow/api/2.0/mlflow/runs/log-metric", "j/1", "b"),
    ]


def test_no_token_no_door(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "sleep 60"))
    nodes.server.fact(wire.Started, "j")
    port = json.loads((nodes.folder(node) / "gateway.json").read_bytes())["port"]
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer secret-of-{node}"}):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 401
        refused.value.close()
    assert nodes.server.tracked == []


@pytest.mark.fault
def test_a_job_that_calls_while_its_agent_comes_back_is_not_refused(nodes: Nodes) -> None:
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "sleep 60"))
    nodes.server.fact(wire.Started, "j")
    port = json.loads((nodes.folder(node) / "gateway.json").read_bytes())["port"]
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search"
    request = urllib.request.Request(address, headers={"Authorization": "Bearer token-of-j-0"})

    def answered() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            error.close()
            pytest.fail(f"refused with {error.code}")
        except OSError:  # nobody listens yet
            return False

    for _ in range(3):
        kill(nodes.agent_pid(node))
        until(answered, pause_s=0.0002)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def test_who_may_not_call_cannot_make_the_agent_keep_anything(nodes: Nodes) -> None:
    """A stranger on the machine sends what never ends, or what is no length."""
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "sleep 60"))
    nodes.server.fact(wire.Started, "j")
    port = json.loads((nodes.folder(node) / "gateway.json").read_bytes())["port"]
    right = "Authorization: Bearer token-of-j-0\r\n"
    for head, status in (
        ("Content-Length: 99999999999\r\n\r\n", b"401"),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n", b"401"),
        (right + "Content-Length: -5\r\n\r\n", b"400"),
        (right + "Content-Length: 1_0\r\n\r\n", b"400"),
        (right + "Transfer-Encoding: chunked\r\n\r\n-5\r\n", b"400"),
        (right + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (right + 'Transfer-Encoding: chunked\r\n\r\n9\r\n{"key":1}\r\n0\r\n\r\n', b"200"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
            caller.sendall(f"POST /api/2.0/mlflow/runs/log-metric HTTP/1.1\r\nHost: x\r\n{head}".encode())
            assert caller.recv(65536).split()[1] == status, head
    assert [body for *_, body in nodes.server.tracked] == [b'{"key":1}']
