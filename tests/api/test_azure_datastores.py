"""Datastores and code by Azure's doors: what the SDK asks, and then sends with its own uploader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient
from azure_uploader import ArtifactStorageInfo, BlobStorageClient, get_content_hash
from sqlalchemy import event

from mayfly.services import blobs, codes, places
from mayfly.services.places import Place
from mayfly.testing.serving import House
from mayfly.wire.azureml.datastores import blob_address

WS = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
THERE = Place("sub", "rg", "ws")


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with house.client(base_url=f"{house.url}{WS}") as client:
        yield client


def body(answer: httpx.Response) -> Any:
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def test_mayflys_own_datastores_are_found_and_opened(house: House, azure: httpx.Client) -> None:
    listed = body(azure.get("/datastores?count=30&isDefault=true"))["value"]
    assert [one["name"] for one in listed] == ["workspaceblobstore"]
    assert len(body(azure.get("/datastores"))["value"]) == 4
    one = body(azure.get("/datastores/workspaceblobstore"))
    told = one["properties"]
    assert one["id"] == f"{WS}/datastores/workspaceblobstore"
    assert (told["datastoreType"], told["credentials"]["credentialsType"], told["isDefault"]) == (
        "AzureBlob",
        "Sas",
        True,
    )
    assert told["accountName"].endswith("/mayfly")
    secret = body(azure.post("/datastores/workspaceblobstore/listSecrets", json={"expireAfterHours": 2}))
    assert secret["secretsType"] == "Sas"
    address = f"{house.url}/{told['accountName'].rpartition('/')[2]}.blob.{told['endpoint']}"
    with ContainerClient(address, told["containerName"], secret["sasToken"]) as container:
        container.upload_blob("LocalUpload/a", b"x")
        assert [blob.name for blob in container.list_blobs()] == ["LocalUpload/a"]
        house.stage.clock.advance(2 * 3600_000 + 1)
        with pytest.raises(HttpResponseError):
            container.get_blob_client("LocalUpload/a").exists()


def test_a_build_context_that_was_sent_belongs_to_its_environment(house: House, azure: httpx.Client) -> None:
    told = body(azure.get("/datastores/workspaceblobstore"))["properties"]
    secret = body(azure.post("/datastores/workspaceblobstore/listSecrets", json={}))["sasToken"]
    address = f"{house.url}/{told['accountName'].rpartition('/')[2]}.blob.{told['endpoint']}"
    with ContainerClient(address, told["containerName"], secret) as container:
        container.upload_blob("LocalUpload/h/docker/Dockerfile", b"FROM scratch")
    build = {"contextUri": f"{house.url}/{told['containerName']}/LocalUpload/h/docker", "dockerfilePath": "Dockerfile"}
    made = azure.put("/environments/boxed/versions/1", json={"properties": {"build": build}})
    assert body(made)["properties"]["build"] == build
    wrong = {"build": {**build, "dockerfilePath": "Other"}}
    refused = azure.put("/environments/boxed/versions/2", json={"properties": wrong})
    assert refused.status_code == 400 and "There is no file 'Other'" in refused.json()["error"]["message"]


def test_storage_elsewhere_is_registered_and_its_key_never_shown(azure: httpx.Client) -> None:
    credentials = {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "c2VjcmV0"}}
    given = {
        "datastoreType": "AzureBlob",
        "accountName": "theirs",
        "containerName": "data",
        "endpoint": "mayfly.internal",
        "protocol": "https",
        "description": "of another team",
        "credentials": credentials,
    }
    made = azure.put("/datastores/theirs", json={"properties": given})
    assert body(made)["properties"]["accountName"] == "theirs" and "c2VjcmV0" not in made.text
    assert body(azure.get("/datastores/theirs"))["properties"]["endpoint"] == "core.windows.net"
    assert "theirs" in {one["name"] for one in body(azure.get("/datastores"))["value"]}
    refused = azure.post("/datastores/theirs/listSecrets", json={})
    assert refused.status_code == 403 and "c2VjcmV0" not in refused.text
    share = {**given, "datastoreType": "AzureFile", "fileShareName": "share"}
    assert azure.put("/datastores/share", json={"properties": share}).status_code == 400
    assert azure.put("/datastores/workspaceblobstore", json={"properties": given}).status_code == 409
    assert azure.delete("/datastores/theirs").status_code == 200
    assert azure.get("/datastores/theirs").status_code == 404


def send(house: House, azure: httpx.Client, folder: Path, name: str) -> tuple[str, str]:
    """The code's hash and address, after the SDK's own uploader has sent it."""
    pending = body(azure.post(f"/codes/{name}/versions/1/startPendingUpload", json={}))["blobReferenceForConsumption"]
    uploader = BlobStorageClient(None, pending["credential"]["sasUri"])  # type: ignore[arg-type]
    hash = get_content_hash(folder)
    assert hash is not None
    with uploader.service_client, uploader.container_client:
        sent = uploader.upload(str(folder), name, "1", asset_hash=hash, show_progress=False)
        with pytest.raises(HttpResponseError) as caught:
            parent = uploader.container_client.url.replace(f"/{name}/1?", f"/{name}?")
            ContainerClient.from_container_url(parent, retry_total=0).upload_blob("2/beside", b"x")
        assert caught.value.status_code == 403
    info = ArtifactStorageInfo(name, "1", sent["remote path"], None, uploader.container, pending["blobUri"], False)
    return hash, str(info.full_storage_path)


def test_code_is_sent_once(house: House, azure: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "50% of my code"
    (folder / "Sub").mkdir(parents=True)
    files = {"train.py": b"print(1)", "Sub/b.py": b"", "sub2.txt": b"x" * 3000, "größe.txt": b"y"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    hash = get_content_hash(folder)
    asked = f"/codes/any/versions?hash={hash}&hashVersion=202208"
    assert body(azure.get(asked))["value"] == []
    hash, address = send(house, azure, folder, "first")
    given = {"codeUri": address, "isAnonymous": True, "properties": {"hash_sha256": hash, "hash_version": "202208"}}
    made = azure.put("/codes/first/versions/1", json={"properties": given})
    assert made.status_code == 201 and body(made)["properties"]["properties"]["hash_sha256"] == hash
    assert azure.put("/codes/first/versions/1", json={"properties": given}).status_code == 200
    found = body(azure.get(asked))["value"]
    assert [one["id"] for one in found] == [f"{WS}/codes/first/versions/1"]
    assert body(azure.get("/codes/first/versions/1"))["id"] == found[0]["id"]
    world = house.stage.world
    row = codes.find(world, THERE, "first", "1")
    tree = codes.datastores.read_tree(world, row.tree)
    assert row.hash == hash and {one.path: b"".join(world.content.open(one.digest)) for one in tree.entries} == files


def test_the_sdks_submission_with_unchanged_code_is_few_statements_and_one_unit(
    house: House, azure: httpx.Client, tmp_path: Path
) -> None:
    """Four calls: two reads, and a unit that looks for the name. What their other tables say is remembered."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "train.py").write_bytes(b"print(1)")
    hash, address = send(house, azure, folder, "mine")
    body(azure.put("/codes/mine/versions/1", json={"properties": {"codeUri": address}}))
    environment = {"properties": {"image": "library/python:latest", "isAnonymous": True}}

    def submit(name: str) -> None:
        code = body(azure.get("/codes/fresh/versions", params={"hash": hash, "hashVersion": "202208"}))["value"][0][
            "id"
        ]
        assert body(azure.get("/codes/mine/versions/1"))["id"] == code
        made = body(azure.put("/environments/CliV2AnonymousEnvironment/versions/abc", json=environment))["id"]
        asked = {"jobType": "Command", "command": "python train.py", "codeId": code, "environmentId": made}
        assert body(azure.put(f"/jobs/{name}", json={"properties": asked}))["name"] == name

    store, statements = house.stage.world.store, []
    submit("first")
    submit("second")
    commits = store.commits
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    submit("third")
    assert len(statements) <= 10 and store.commits - commits == 1, statements


def test_a_version_of_code_means_one_thing(house: House, azure: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.py").write_bytes(b"1")
    _, address = send(house, azure, folder, "mine")
    put = lambda uri: azure.put("/codes/mine/versions/1", json={"properties": {"codeUri": uri}})  # noqa: E731
    assert put(address).status_code == 201
    (folder / "b.py").write_bytes(b"2")
    lie = "0" * 64
    _, other = send(house, azure, folder, "other")
    assert put(other).status_code == 409
    told = {"codeUri": other, "properties": {"hash_sha256": lie}}
    assert azure.put("/codes/other/versions/1", json={"properties": told}).status_code == 201
    assert body(azure.get(f"/codes/x/versions?hash={lie}&hashVersion=202208"))["value"] == []
    here = places.find(house.stage.world, places.Place(*places.DEFAULT)).id
    foreign = blob_address("https://h", blobs.container_of(here, "workspaceblobstore"), "codes/mine/1/src")
    for wrong in ("https://example.com/a/b", foreign, ""):
        answer = azure.put("/codes/new/versions/1", json={"properties": {"codeUri": wrong}})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "CodeUriInvalid")
    lost = blob_address("", blobs.container_of(places.find(house.stage.world, THERE).id, "workspaceblobstore"))
    answer = azure.put("/codes/new/versions/1", json={"properties": {"codeUri": f"https://h{lost}/nothing"}})
    assert answer.status_code == 404
