"""Computes, sizes, quota and schedules by the doors shaped as Azure's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from azure_client import PROVIDER, WS, command, signed_in

from mayfly.services import jobs
from mayfly.services.places import Place
from mayfly.testing.serving import House

PLACES = f"/subscriptions/sub/{PROVIDER}/locations/local"


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with signed_in(house) as client:
        yield client


def test_a_cluster_stands_for_serverless_with_its_size_and_tier(house: House, azure: httpx.Client) -> None:
    assert azure.get(f"{WS}/computes/serverless").json()["properties"]["provisioningState"] == "Succeeded"
    assert azure.get(f"{WS}/computes/cpu").status_code == 404
    size = azure.get(f"{PLACES}/vmSizes").json()["value"][0]["name"]
    own = {"vmSize": size, "vmPriority": "LowPriority", "scaleSettings": {"maxNodeCount": 4}}
    body = {"location": "local", "properties": {"computeType": "AmlCompute", "properties": own}}
    made = azure.put(f"{WS}/computes/cpu", json=body)
    assert (
        made.status_code == 201
        and azure.get(httpx.URL(made.headers["azure-asyncoperation"])).json()["status"] == "Succeeded"
    )
    assert azure.get(f"{WS}/computes").json()["value"][0]["properties"]["properties"]["scaleSettings"] == {
        "maxNodeCount": 4
    }
    answer = azure.put(f"{WS}/jobs/one", json=command(computeId=made.json()["id"]))
    assert answer.status_code == 201, answer.text
    request = json.loads(jobs.find(house.stage.world, Place("sub", "rg", "ws"), "one").request)
    assert size in request.values() and "Spot" in request.values()
    assert azure.delete(f"{WS}/computes/cpu").status_code == 202
    assert azure.get(f"{WS}/computes").json()["value"] == []


@pytest.mark.parametrize(
    ("name", "kind", "size", "code"),
    [
        ("serverless", "AmlCompute", "", "ComputeNameTaken"),
        ("mine", "ComputeInstance", "", "ComputeTypeNotSupported"),
        ("mine", "AmlCompute", "Standard_Nothing", "SizeUnknown"),
    ],
)
def test_what_no_cluster_can_be_is_refused(azure: httpx.Client, name: str, kind: str, size: str, code: str) -> None:
    body = {"properties": {"computeType": kind, "properties": {"vmSize": size}}}
    assert azure.put(f"{WS}/computes/{name}", json=body).json()["error"]["code"] == code


def test_quota_is_seen_and_changed(azure: httpx.Client) -> None:
    found = azure.get(f"{PLACES}/quotas").json()["value"][0]
    changed = azure.post(f"{PLACES}/updateQuotas", json={"value": [{"id": found["id"], "limit": 3}]})
    assert changed.json()["value"][0]["status"] == "Success"
    usages = azure.get(f"{PLACES}/usages").json()["value"]
    assert any(one["name"]["value"] == found["name"]["value"] and one["limit"] == 3 for one in usages)
    assert azure.post(f"{PLACES}/updateQuotas", json={"value": [{"id": found["id"], "limit": -1}]}).status_code == 400


def test_schedules_are_kept_and_say_that_they_start_nothing(azure: httpx.Client) -> None:
    sent = {
        "properties": {
            "action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Pipeline"}},
            "trigger": {"triggerType": "Cron", "expression": "0 0 * * *"},
        }
    }
    assert azure.put(f"{WS}/schedules/night", json=sent).status_code == 201
    told = azure.get(f"{WS}/schedules/night").json()["properties"]
    assert told["trigger"] == sent["properties"]["trigger"] and "does not start" in told["properties"]["mayfly.notes"]
    assert len(azure.get(f"{WS}/schedules").json()["value"]) == 1
    assert azure.delete(f"{WS}/schedules/night").status_code == 202
    assert azure.get(f"{WS}/schedules/night").status_code == 404
