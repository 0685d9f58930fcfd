"""Every door needs the right token; what is malformed is told in one form."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import msgspec
import pytest

from mayfly.store import results
from mayfly.store.results import MetricRow
from mayfly.testing.agent import parts_of
from mayfly.testing.serving import WS, House
from mayfly.wire import agent as wire

AGENTS = [
    ("POST", "/agent/v1/hello"),
    ("POST", "/agent/v1/wishes"),
    ("POST", "/agent/v1/reports"),
    ("POST", "/agent/v1/logs"),
    ("POST", "/agent/v1/content/missing"),
    ("POST", "/agent/v1/content/blobs"),
    ("POST", "/agent/v1/content/fetch"),
    ("PUT", f"/agent/v1/content/trees/{'0' * 64}"),
    ("GET", f"/agent/v1/content/trees/{'0' * 64}"),
    ("GET", "/agent/v1/mlflow/api/2.0/mlflow/runs/get"),
    ("POST", "/agent/v1/mlflow/api/2.0/mlflow/runs/create"),
]
NOWHERE = [("GET", "/"), ("GET", "/docs"), ("GET", "/redoc"), ("GET", "/metrics"), ("GET", "//mayfly/v1/server")]


def problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found = answer.json()["error"]
    assert set(found) == {"code", "message", "target", "remedy", "details"} and found["message"]
    assert code is None or found["code"] == code
    return found


def people(house: House) -> list[tuple[str, str]]:
    """Every door of people's that the server itself tells of."""
    with house.client() as ann:
        told = ann.get("/openapi.json").json()["paths"]
    doors = [(method.upper(), re.sub(r"{\w+}", "x", path)) for path, methods in told.items() for method in methods]
    assert ("GET", "/mayfly/v1/server") in doors and len(doors) > 20
    return [*doors, ("GET", "/openapi.json")]


def test_no_door_opens_without_a_token(house: House) -> None:
    with httpx.Client(base_url=house.url, trust_env=False, verify=False) as nobody:
        for method, path in (*people(house), *AGENTS, *NOWHERE):
            answer = nobody.request(method, path)
            problem(answer, 401, "TokenMissing")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("broken", ["mac", "subject", "kind", "another server", "garbage", "basic", "empty"])
def test_no_door_opens_with_a_wrong_token(house: House, broken: str) -> None:
    prefix, subject, mac = house.token("user", "ann").split(".")
    other = house.token("user", "bob").split(".")
    headers = {
        "mac": f"Bearer {prefix}.{subject}.{mac[:-2]}AA",
        "subject": f"Bearer {prefix}.{other[1]}.{mac}",
        "kind": f"Bearer mfn.{subject}.{mac}",
        "another server": f"Bearer {prefix}.{subject}.{'A' * 43}",
        "garbage": "Bearer \u00e9..\u00ff".encode("latin-1"),
        "basic": f"Basic {prefix}.{subject}.{mac}",
        "empty": "Bearer",
    }[broken]
    with httpx.Client(base_url=house.url, trust_env=False, verify=False) as nobody:
        for method, path in (*people(house), *AGENTS)[:: 1 if broken == "mac" else 9]:
            problem(nobody.request(method, path, headers={"Authorization": headers}), 401)


@pytest.mark.parametrize("kind", ["node", "attempt"])
def test_peoples_doors_are_for_people(house: House, kind: str) -> None:
    with house.client(kind, "job_1/1/1") as other:
        for method, path in people(house):
            problem(other.request(method, path), 403, "TokenOfAnotherKind")


@pytest.mark.parametrize("kind", ["user", "attempt"])
def test_agents_doors_are_for_nodes(house: House, kind: str) -> None:
    with house.client(kind, "job_1/1/1") as other:
        for method, path in AGENTS:
            problem(other.request(method, path), 403, "TokenOfAnotherKind")


def test_there_is_nothing_behind_other_doors(ann: httpx.Client) -> None:
    for method, path in NOWHERE:
        problem(ann.request(method, path), 401, "DoorUnknown")
    problem(ann.get("/mayfly/v1/nothing"), 404, "DoorNotFound")
    problem(ann.delete("/mayfly/v1/server"), 405, "MethodNotAllowed")
    several = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default"
    assert ann.delete(several).headers["allow"] == "GET, PUT"
    problem(ann.post("/mayfly/v1/gc", json={"dry_run": 1}), 400, "RequestInvalid")


def test_a_node_speaks_only_for_itself(house: House) -> None:
    hello = wire.Hello(node="node_b", protocols=(1,), version="0", boot_id="b", address="x", isolation="none")
    with house.client("node", "node_a") as node:
        for path, told in (
            ("hello", hello),
            ("wishes", wire.WishesAsk(node="node_b")),
            ("reports", wire.Reports(node="node_b", reports=())),
        ):
            problem(node.post(f"/agent/v1/{path}", content=msgspec.json.encode(told)), 403, "NodeOfAnother")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"node": 3}', b"[" * 2000])
def test_malformed_bodies_are_told_as_such(house: House, ann: httpx.Client, body: bytes) -> None:
    for path in ("jobs", "jobs:validate", "jobs:plan", "content/missing", "content/fetch"):
        problem(ann.post(f"{WS}/{path}", content=body, headers={"Content-Type": "application/json"}), 400)
    problem(ann.put(f"{WS}/quotas", content=body, headers={"Content-Type": "application/json"}), 400)
    with house.client("node", "node_a") as node:
        for path in ("hello", "wishes", "reports", "content/missing", "content/fetch"):
            problem(node.post(f"/agent/v1/{path}", content=body), 400)


def test_a_body_that_is_too_large_is_refused(house: House, ann: httpx.Client) -> None:
    request = f"POST {WS}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.token('user', 'ann')}\r\n"
    with socket.create_connection(("127.0.0.1", int(house.url.rpartition(":")[2])), timeout=10) as line:
        line.sendall(f"{request}Content-Length: {1 << 30}\r\n\r\n".encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 400"), "refused before a byte of it came"

    def pieces():
        for _ in range(33):
            yield b" " * (1 << 20)

    problem(ann.post(f"{WS}/jobs", content=pieces(), headers={"Content-Type": "application/json"}), 400, "BodyTooLarge")


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "after=nobody"])
def test_bad_questions_are_told_as_such(ann: httpx.Client, query: str) -> None:
    assert ann.get(f"{WS}/jobs?{query}").status_code in (400, 404)
    problem(ann.get(f"{WS}/jobs?{query}"), 404 if "after" in query else 400)


def test_a_job_by_http(house: House, ann: httpx.Client) -> None:
    made = ann.post(f"{WS}/jobs", json=house.body(name="one"))
    assert made.status_code == 201 and made.json()["status"] == "Queued"
    assert ann.post(f"{WS}/jobs", json=house.body(name="one", tags={"a": "b"})).status_code == 200
    found = problem(ann.post(f"{WS}/jobs", json=house.body(name="one", command="other")), 409, "JobNameTaken")
    assert found["target"] == "/name" and found["remedy"]
    assert ann.get(f"{WS}/jobs/one").json()["tags"] == {"a": "b"}
    assert [one["name"] for one in ann.get(f"{WS}/jobs").json()["jobs"]] == ["one"]
    assert ann.get(f"{WS}/jobs?state=Completed,Failed").json() == {"jobs": [], "more": False}
    assert ann.get(f"{WS}/jobs/one/explanation").json()["status"] == "Queued"
    assert ann.get(f"{WS}/jobs/one/logs").json() == {"logs": []}
    assert ann.get(f"{WS}/jobs/one/metrics").json() == ann.get(f"{WS}/jobs/one/outputs").json() == []
    problem(ann.get(f"{WS}/jobs/one/logs/none.txt"), 404, "LogNotFound")
    assert ann.post(f"{WS}/jobs/one/cancel", json={"reason": "no"}).json()["status"] == "Canceled"
    assert ann.get("/mayfly/v1/server").json()["jobs"] == {}
    problem(ann.get(f"{WS}/jobs/two"), 404, "JobNotFound")


def test_faults_of_a_job_are_told_with_their_places(house: House, ann: httpx.Client) -> None:
    found = problem(ann.post(f"{WS}/jobs", json=house.body(comand="x", resources={"instance_count": "many"})), 400)
    assert {one["target"] for one in found["details"]} >= {"/comand", "/resources/instance_count"}
    ask = house.body(resources={"instance_type": "local_9"})
    found = problem(ann.post(f"{WS}/jobs", json=ask), 400, "InstanceTypeUnknown")
    assert "local_" in (found["remedy"] or "")
    ask = house.body(resources={"instance_type": "Standard_NC6s_v3"})
    problem(ann.post(f"{WS}/jobs", json=ask), 422, "NoQuotaForInstanceType")


def test_a_server_that_waits_for_its_jobs_takes_no_new_ones(house: House, ann: httpx.Client) -> None:
    ann.post(f"{WS}/jobs", json=house.body(name="one"))
    assert ann.post("/mayfly/v1/server/down", json={"mode": "drain"}).json()["continuing"] == ["one"]
    answer = ann.post(f"{WS}/jobs", json=house.body(name="two"))
    problem(answer, 503, "ServerStopping")
    assert answer.headers["Retry-After"] == "1"
    ann.post(f"{WS}/jobs/one/cancel", json={})


def test_quotas_by_http(ann: httpx.Client) -> None:
    told = ann.put(f"{WS}/quotas", json={"family": "local", "limit": 3}).json()
    assert next((one["limit"], one["default"]) for one in told if one["family"] == "local") == (3, False)
    assert ann.get(f"{WS}/quotas").json() == told
    assert ann.get(f"{WS}/usage").json()[0]["name"] == "Serverless"
    assert {one["name"] for one in ann.get(f"{WS}/sizes").json() if one["own"]} >= {"local_1", "local_4"}
    problem(ann.put(f"{WS}/quotas", json={"family": "nosuchfamily", "limit": 3}), 400)
    problem(ann.put(f"{WS}/quotas", json={"family": "local", "limit": -1}), 400)


def test_metrics_that_are_no_numbers_can_be_shown(house: House, ann: httpx.Client) -> None:
    job = ann.post(f"{WS}/jobs", json=house.body(name="one")).json()["id"]
    house.stage.turn()
    rows = [MetricRow("loss", value, 0, 1) for value in (1.0, float("nan"), float("inf"))]
    house.stage.world.store.write(lambda unit: results.add_metrics(unit, job, 1, rows))
    assert ann.get(f"{WS}/jobs/one/metrics").status_code == 200
    assert json.loads(ann.get(f"{WS}/jobs/one").text)["metrics"].keys() == {"loss"}


def test_a_tracking_call_of_a_fenced_attempt_is_refused(house: House, ann: httpx.Client) -> None:
    job = ann.post(f"{WS}/jobs", json=house.body(name="one")).json()["id"]
    house.stage.turn()
    (part,) = parts_of(house.stage.world, job, 1)
    ann.post(f"{WS}/jobs/one/cancel", json={})
    with house.client("node", part.agent.node) as node:
        for fence in (f"{job}/1", f"{job}/2", "", "x/y/z"):
            answer = node.post(
                "/agent/v1/mlflow/api/2.0/mlflow/runs/create", headers={"Mayfly-Attempt": fence}, json={}
            )
            problem(answer, 403, "AttemptFenced")
    part.tell(part.released())


def test_assets_through_their_doors(house: House, ann: httpx.Client) -> None:
    door = f"{WS}/assets/environment"
    new = {"name": "iris", "version": "1", "definition": {"image": "python:3.11"}}
    assert ann.post(door, json=new).status_code == 201
    assert ann.post(door, json=new).status_code == 200
    assert ann.post(door, json={**new, "definition": {"image": "python"}}).status_code == 409
    assert ann.get(f"{door}/iris/labels/latest").json()["version"] == "1"
    assert [one["name"] for one in ann.get(door).json()["assets"]] == ["iris"]
    assert ann.post(f"{door}/iris/archive", json={}).json()[0]["archived"] is True
    assert ann.get(f"{door}/iris/labels/latest").status_code == 404
    assert ann.post(f"{door}/iris/restore", json={"version": None}).json()[0]["archived"] is False
    assert ann.get(f"{WS}/assets/dataset").status_code == 400
