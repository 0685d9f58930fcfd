"""Registries by the doors shaped as Azure's: found by name, read, never written."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from azure_client import PROVIDER, signed_in

from mayfly.testing.serving import House

ONE = f"/mferp/managementfrontend/subscriptions/registries/resourceGroups/registries/{PROVIDER}/registries"
DISCOVERY = "/registrymanagement/v1.0/registries"


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with signed_in(house) as client:
        yield client


def test_the_curated_environments_are_a_registry(azure: httpx.Client) -> None:
    told = azure.get(f"{DISCOVERY}/azureml/discovery").json()
    assert told["primaryRegionResourceProviderUri"].endswith("/") and told["registryName"] == "azureml"
    listed = azure.get(f"{ONE}/azureml/environments").json()["value"]
    assert "azureml://registries/azureml/environments/sklearn-1.5" in {one["id"] for one in listed}
    one = azure.get(f"{ONE}/azureml/environments/sklearn-1.5/versions/1").json()
    assert one["properties"]["image"] == "mcr.microsoft.com/azureml/curated/sklearn-1.5:latest"
    assert azure.get(f"{ONE}/azureml/components").json() == {"value": []}


def test_what_is_not_there_and_what_may_not_be_done_say_so(azure: httpx.Client) -> None:
    for path, code in (
        (f"{DISCOVERY}/nobody/discovery", "RegistryNotFound"),
        (f"{ONE}/nobody/models", "RegistryNotFound"),
        (f"{ONE}/azureml/environments/nothing", "RegistryAssetNotFound"),
        (f"{ONE}/azureml/environments/sklearn-1.5/versions/9", "RegistryAssetNotFound"),
        (f"{ONE}/azureml/codes", "ResourceNotFound"),
    ):
        answer = azure.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code), path
    answer = azure.put(f"{ONE}/azureml/environments/mine/versions/1", json={"properties": {"image": "x"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "RegistryReadOnly")
    del azure.headers["Authorization"]
    assert azure.get(f"{ONE}/azureml/models").status_code == 401
