"""Collections by the doors shaped as Azure's: page after page, each thing is shown once, whatever is asked for beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure_client import PROVIDER, WS, command, signed_in

from mayfly.testing.serving import House

CODES = f"{WS}/codes/mine/versions"
IMAGE = {"properties": {"image": "python:3.11"}}
SPEC = {
    "type": "command",
    "command": "echo",
    "environment": "azureml://registries/azureml/environments/sklearn-1.5/versions/1",
}


@pytest.fixture
def azure(narrow_house: House) -> Iterator[httpx.Client]:
    with signed_in(narrow_house) as client:
        yield client


def walked(azure: httpx.Client, path: str, query: str = "") -> list[dict[str, Any]]:
    """All that a collection has, in the order of its pages."""
    found, address = [], f"{path}?api-version=2024-10-01{query}"
    while address:
        told = azure.get(address).json()
        assert len(told["value"]) <= 2, "a page shows two"
        found += told["value"]
        address = told.get("nextLink", "")
        assert not address or "api-version" in address
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in found]


def put(azure: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = azure.put(f"{WS}/{path}", json=body)
    assert answer.status_code < 300, answer.text


def test_jobs_those_that_do_not_run_after_those_that_do(azure: httpx.Client) -> None:
    for index in range(5):
        put(azure, f"jobs/c{index}", command(tags={"even": str(index % 2 == 0), "all": "y"}))
    for index in range(3):
        put(azure, f"jobs/s{index}", {"properties": {"jobType": "Sweep", "tags": {"all": "y"}}})
    everything = ["c4", "c3", "c2", "c1", "c0", "s0", "s1", "s2"]
    assert names(walked(azure, f"{WS}/jobs")) == everything
    assert names(walked(azure, f"{WS}/jobs", "&tag=even=True")) == ["c4", "c2", "c0"]
    assert names(walked(azure, f"{WS}/jobs", "&tag=all&jobType=Sweep")) == ["s0", "s1", "s2"]
    assert names(walked(azure, f"{WS}/jobs", "&properties=none")) == []
    assert walked(azure, f"{WS}/jobs", "&scheduled=true") == []
    assert azure.post(f"{WS}/jobs/c4/cancel").status_code == 202
    assert azure.delete(f"{WS}/jobs/c4").status_code == 202
    assert names(walked(azure, f"{WS}/jobs", "&listViewType=All")) == everything[1:]
    assert names(walked(azure, f"{WS}/jobs", "&listViewType=ArchivedOnly")) == []


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_page_that_is_just_full_has_none_after_it(azure: httpx.Client, count: int) -> None:
    for index in range(count):
        put(azure, f"jobs/c{index}", command())
    assert len(walked(azure, f"{WS}/jobs")) == count
    assert "nextLink" not in azure.get(f"{WS}/jobs?$skip=c{count % 2}").json()


def test_assets_and_their_versions(azure: httpx.Client) -> None:
    for index in range(5):
        put(azure, f"environments/e{index}/versions/1", IMAGE)
        put(
            azure,
            f"environments/many/versions/{index}",
            {"properties": {**IMAGE["properties"], "tags": {"n": str(index)}}},
        )
        put(azure, f"components/c{index}/versions/1", {"properties": {"componentSpec": SPEC}})
    assert names(walked(azure, f"{WS}/environments")) == [*(f"e{index}" for index in range(5)), "many"]
    assert names(walked(azure, f"{WS}/components")) == [f"c{index}" for index in range(5)]
    versions = f"{WS}/environments/many/versions"
    assert names(walked(azure, versions)) == ["4", "3", "2", "1", "0"]
    assert names(walked(azure, versions, "&tags=n=3")) == ["3"]
    assert names(walked(azure, versions, "&version=0")) == ["0"]
    assert names(azure.get(f"{versions}?$top=1&$orderBy=createdtime desc").json()["value"]) == ["4"]
    assert names(walked(azure, versions, "&$top=4")) == ["4", "3", "2", "1"]


def test_what_has_a_name_alone(azure: httpx.Client) -> None:
    size = azure.get(f"/subscriptions/sub/{PROVIDER}/locations/local/vmSizes").json()["value"][0]["name"]
    cluster = {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": size}}}
    keys = {"datastoreType": "AzureBlob", "accountName": "a", "containerName": "c"}
    for index in range(5):
        put(azure, f"computes/k{index}", cluster)
        put(azure, f"schedules/s{index}", {"properties": {"isEnabled": index != 3}})
        put(azure, f"datastores/d{index}", {"properties": keys})
        workspace = WS.replace("workspaces/ws", f"workspaces/w{index}")
        assert azure.patch(workspace, json={"tags": {"n": str(index)}}).json()["tags"] == {"n": str(index)}
    assert names(walked(azure, f"{WS}/computes")) == [f"k{index}" for index in range(5)]
    assert names(walked(azure, f"{WS}/computes", "&computeType=ComputeInstance")) == []
    assert names(walked(azure, f"{WS}/schedules")) == ["s0", "s1", "s2", "s4"]
    assert len(walked(azure, f"{WS}/datastores")) == 9
    assert names(walked(azure, f"{WS}/datastores", "&names=d1,d3")) == ["d1", "d3"]
    group = f"/subscriptions/sub/resourceGroups/rg/{PROVIDER}/workspaces"
    assert names(walked(azure, group)) == ["w0", "w1", "w2", "w3", "w4", "ws"]
    assert len(walked(azure, f"/subscriptions/sub/{PROVIDER}/workspaces")) == 6


def test_registries_what_is_in_them_and_the_files_of_that(azure: httpx.Client, tmp_path: Path) -> None:
    models = tmp_path / "registries" / "c" / "models"
    for folder in (models / "net", *(tmp_path / "registries" / name for name in ("b", "d"))):
        folder.mkdir(parents=True)
    (models / "net" / "weights").write_text("w", encoding="utf-8")
    for version in range(1, 6):
        model = f"{{name: net, version: {version}, type: custom_model, path: net}}"
        (models / f"net{version}.yml").write_text(model, encoding="utf-8")
    assert names(walked(azure, f"/subscriptions/any/{PROVIDER}/registries")) == ["azureml", "b", "c", "d"]
    one = f"/mferp/managementfrontend/subscriptions/r/resourceGroups/r/{PROVIDER}/registries"
    assert len(walked(azure, f"{one}/azureml/environments")) > 2
    assert names(walked(azure, f"{one}/c/models/net/versions")) == ["5", "4", "3", "2", "1"]
    assert names(azure.get(f"{one}/c/models/net/versions?$top=1").json()["value"]) == ["5"]
    asked = {"assetId": "azureml://registries/c/models/net/versions/2", "blobUri": "any"}
    told = azure.post(f"{one}/c/datarefs/net/versions/2", json=asked).json()["blobReferenceForConsumption"]
    container, _, signature = told["credential"]["sasUri"].partition("?")
    with httpx.Client(trust_env=False, headers={"x-ms-version": "2021-08-06"}) as files:
        listing = f"restype=container&comp=list&{signature}"
        assert "<Name>net/weights</Name>" in files.get(f"{container}?{listing}&prefix=net").text
        assert files.get(f"{container}/net/weights?{signature}").text == "w"
        assert files.put(f"{container}/net/weights?{signature}", content=b"x").status_code == 403
        other = container[:-1] + ("0" if container[-1] != "0" else "1")
        assert files.get(f"{other}?{listing}").status_code == 403
    assert azure.post(f"{one}/b/datarefs/net/versions/2", json=asked).status_code == 400
