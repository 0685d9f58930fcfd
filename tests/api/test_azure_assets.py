"""Assets by the doors shaped as Azure's: versions, names, and what a taken version is answered with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure_client import WS, command, signed_in

from mayfly.testing.serving import House

ENVIRONMENTS = f"{WS}/environments"


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with signed_in(house) as client:
        yield client


def environment(image: str = "python:3.11", **properties: Any) -> dict[str, Any]:
    conda = "name: x\ndependencies:\n- python=3.11\n- pip:\n  - numpy\n"
    return {"properties": {"image": image, "condaFile": conda, **properties}}


def test_an_environment_without_a_version_gets_the_next_when_the_latest_is_another(azure: httpx.Client) -> None:
    assert azure.get(f"{ENVIRONMENTS}/mine").status_code == 404
    assert azure.put(f"{ENVIRONMENTS}/mine/versions/1", json=environment()).status_code == 201
    assert azure.put(f"{ENVIRONMENTS}/mine/versions/1", json=environment(tags={"a": "b"})).status_code == 200
    assert azure.put(f"{ENVIRONMENTS}/mine/versions/1", json=environment("python:3.12")).status_code == 409
    name = azure.get(f"{ENVIRONMENTS}/mine").json()["properties"]
    assert (name["latestVersion"], name["nextVersion"]) == ("1", "2")
    azure.put(f"{ENVIRONMENTS}/mine/versions/2", json=environment("python:3.12"))
    newest = azure.get(f"{ENVIRONMENTS}/mine/versions?$orderBy=createdtime desc&$top=1").json()["value"]
    assert [(one["name"], one["properties"]["image"]) for one in newest] == [("2", "python:3.12")]
    assert azure.get(f"{ENVIRONMENTS}/mine/versions/1").json()["properties"]["tags"] == {"a": "b"}


def test_one_without_a_name_is_not_listed_and_a_job_finds_it(azure: httpx.Client) -> None:
    place = f"{ENVIRONMENTS}/CliV2AnonymousEnvironment/versions/abc"
    made = azure.put(place, json={"properties": {"image": "python:3.11", "isAnonymous": True}}).json()
    assert made["properties"]["isArchived"] is False
    assert azure.put(place, json={"properties": {"image": "python:3.11", "isAnonymous": True}}).status_code == 200
    assert azure.get(ENVIRONMENTS).json()["value"] == []
    assert azure.put(f"{WS}/jobs/one", json=command(environmentId=made["id"])).status_code == 201


def test_the_latest_is_found_by_a_name_with_its_prefix(azure: httpx.Client) -> None:
    azure.put(f"{WS}/environments/one/versions/1", json={"properties": {"image": "library/python:latest"}})
    listed = azure.get(f"{WS}/environments/azureml:one/versions", params={"$top": 1}).json()["value"]
    assert [found["name"] for found in listed] == ["1"]
    told = {"jobType": "Command", "command": "true", "environmentId": f"{WS}/environments/azureml:one/versions/1"}
    answer = azure.put(f"{WS}/jobs/j", json={"properties": told})
    assert answer.status_code == 201, answer.text


def test_a_version_and_a_name_are_archived_and_brought_back(azure: httpx.Client) -> None:
    azure.put(f"{ENVIRONMENTS}/mine/versions/1", json=environment())
    azure.put(f"{ENVIRONMENTS}/mine/versions/1", json=environment(isArchived=True))
    assert azure.get(f"{ENVIRONMENTS}/mine/versions").json()["value"] == []
    azure.put(f"{ENVIRONMENTS}/mine/versions/1", json=environment(isArchived=False))
    assert len(azure.get(f"{ENVIRONMENTS}/mine/versions").json()["value"]) == 1
    azure.put(f"{ENVIRONMENTS}/mine", json={"properties": {"isArchived": True}})
    assert azure.get(ENVIRONMENTS).json()["value"] == []


def test_data_models_and_components_come_back_as_they_were_sent(azure: httpx.Client, house: House) -> None:
    azure.put(f"{WS}/jobs/one", json=command())  # makes the workspace
    spec = {
        "$schema": "https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json",
        "name": "add",
        "version": "1",
        "type": "command",
        "command": "echo ${{inputs.a}}",
        "environment": "azureml://registries/azureml/environments/sklearn-1.5/versions/1",
        "inputs": {"a": {"type": "number"}},
        "is_deterministic": True,
    }
    answer = azure.put(f"{WS}/components/add/versions/1", json={"properties": {"componentSpec": spec}})
    assert answer.status_code == 201, answer.text
    assert azure.get(f"{WS}/components/add/versions/1").json()["properties"]["componentSpec"] == spec
    with house.client() as ann:
        ours = "/mayfly/v1/subscriptions/sub/resourceGroups/rg/workspaces/ws/assets/component/add/versions/1"
        assert ann.get(ours).json()["definition"]["component"]["command"] == "echo ${{inputs.a}}"
    absent = azure.put(
        f"{WS}/data/rows/versions/1",
        json={"properties": {"dataUri": "azureml://datastores/workspaceblobstore/paths/x", "dataType": "uri_file"}},
    )
    assert absent.status_code == 404 and "nothing at" in absent.json()["error"]["message"]
