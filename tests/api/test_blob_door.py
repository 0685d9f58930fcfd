"""The blob doors, by the client that everybody has: azure-storage-blob, unmodified."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobPrefix, ContainerClient, ContentSettings
from blob_clients import ACCOUNT, client, container_name, signed
from sqlalchemy import select

from mayfly.domain.references import DatastoreReference
from mayfly.kit.errors import MayflyError
from mayfly.services import data, datastores, places
from mayfly.store import dialect, tables
from mayfly.store.datastores import Placement
from mayfly.testing.serving import House
from mayfly.testing.world import HERE

NAMES = (
    "plain.txt",
    "a b/c d.txt",
    "größe/日本語.txt",
    "100%/50%25.txt",
    "x//y",
    "folder/",
    "a?b#c&d=e+f",
    "quote'\"<&>",
)


def held(house: House, path: str, datastore: str = "workspaceblobstore") -> dict[str, bytes]:
    """What a job that reads that path would get."""
    world = house.stage.world
    digest, _ = datastores.held(world, places.find(world, HERE).id, DatastoreReference(datastore, path))
    tree = datastores.read_tree(world, digest)
    return {entry.path: b"".join(world.content.open(entry.digest)) for entry in tree.entries}


def lay(
    house: House, path: str, *, is_file: bool = False, datastore: str = "workspaceblobstore", **files: bytes
) -> None:
    """As a job does that has left an output there."""
    world = house.stage.world
    tree = house.stage.upload(**files)
    world.store.write(
        lambda unit: datastores.place_tree(
            unit, world, places.find(world, HERE).id, datastore, Placement(path, tree, is_file)
        )
    )


def test_blobs_of_all_names_come_back_as_they_went(container: ContainerClient) -> None:
    for number, name in enumerate(NAMES):
        data = f"{number} of {name}".encode() * (number % 3)
        kind = ContentSettings(content_type="text/x-thing", content_encoding="identity")
        blob = container.upload_blob(name, data, metadata={"upload_status": "completed"}, content_settings=kind)
        assert blob.download_blob().readall() == data
        told = blob.get_blob_properties()
        assert (told.size, told.metadata, told.name) == (len(data), {"upload_status": "completed"}, name)
        assert told.content_settings.content_type == "text/x-thing" and told.blob_type == "BlockBlob"
        assert bytes(told.content_settings.content_md5) == hashlib.md5(data).digest()
        assert told.etag and told.last_modified.year == 2023
    listed = {one.name: one for one in container.list_blobs(include=["metadata"])}
    assert sorted(listed) == sorted(NAMES)
    assert all(one.metadata == {"upload_status": "completed"} for one in listed.values())
    for name in NAMES:
        container.delete_blob(name)
    assert list(container.list_blobs()) == []


def test_what_is_not_there_is_said_in_azures_words(container: ContainerClient, house: House) -> None:
    container.upload_blob("folder/file", b"x")
    for name in ("nothing", "folder", "folder/"):
        blob = container.get_blob_client(name)
        assert not blob.exists()
        for ask in (
            blob.get_blob_properties,
            blob.download_blob,
            blob.delete_blob,
            lambda b=blob: b.set_blob_metadata({}),
        ):
            with pytest.raises(ResourceNotFoundError) as caught:
                ask()
            assert caught.value.error_code == "BlobNotFound"
    assert container.exists()
    other = "azureml-elsewhere-" + "0" * 26
    with client(house, name=other) as wrong:
        assert not wrong.exists()
        with pytest.raises(ResourceNotFoundError) as caught:
            list(wrong.list_blobs())
        assert caught.value.error_code == "ContainerNotFound"


def test_parts_are_read(container: ContainerClient) -> None:
    data = bytes(range(256)) * 20_000
    blob = container.upload_blob("five", data)
    for offset, length in ((0, 1), (3, 70_000), (1 << 20, 3 << 20), (len(data) - 5, 100)):
        assert blob.download_blob(offset, length).readall() == data[offset : offset + length]
    small = blob.download_blob(10, 1000, validate_content=True)
    assert small.readall() == data[10:1010]
    parallel = ContainerClient(
        container.url.split("?")[0].rpartition("/")[0],
        container.container_name,
        container.url.partition("?")[2],
        max_single_get_size=1 << 20,
        max_chunk_get_size=1 << 20,
    )
    with parallel:
        assert parallel.download_blob("five", max_concurrency=4).readall() == data
    assert container.upload_blob("empty", b"").download_blob().readall() == b""
    with pytest.raises(HttpResponseError) as caught:
        blob.download_blob(len(data), 10)
    assert caught.value.status_code == 416 and caught.value.error_code == "InvalidRange"


def test_conditions_are_kept(container: ContainerClient) -> None:
    blob = container.upload_blob("one", b"first")
    with pytest.raises(ResourceExistsError) as caught:
        container.upload_blob("one", b"second", overwrite=False)
    assert caught.value.error_code == "BlobAlreadyExists"
    before = blob.get_blob_properties().etag
    with pytest.raises(ResourceModifiedError):
        blob.get_blob_properties(etag=before, match_condition=MatchConditions.IfModified)
    container.upload_blob("one", b"second", overwrite=True, etag=before, match_condition=MatchConditions.IfNotModified)
    assert blob.get_blob_properties().etag != before
    for change in (
        lambda: container.upload_blob(
            "one", b"third", overwrite=True, etag=before, match_condition=MatchConditions.IfNotModified
        ),
        lambda: blob.set_blob_metadata({"a": "b"}, etag=before, match_condition=MatchConditions.IfNotModified),
        lambda: blob.delete_blob(etag=before, match_condition=MatchConditions.IfNotModified),
    ):
        with pytest.raises(ResourceModifiedError) as met:
            change()
        assert met.value.error_code == "ConditionNotMet"
    assert blob.download_blob().readall() == b"second"


def test_a_damaged_body_is_refused_and_nothing_is_kept(house: House, container: ContainerClient) -> None:
    container.upload_blob("checked", b"right", validate_content=True)
    wrong = base64.b64encode(hashlib.md5(b"right").digest()).decode()
    headers = {"x-ms-blob-type": "BlockBlob", "Content-MD5": wrong}
    url = f"{container.url.replace('?', '/damaged?', 1)}"
    answer = httpx.put(url, content=b"wrong", headers=headers, trust_env=False)
    assert answer.status_code == 400 and answer.headers["x-ms-error-code"] == "Md5Mismatch"
    assert "<Code>Md5Mismatch</Code>" in answer.text
    assert [one.name for one in container.list_blobs()] == ["checked"]
    assert not list((house.stage.world.content._folder / "incoming").iterdir())  # type: ignore[attr-defined]


def test_lists_come_in_pages_of_prefixes_and_blobs(house: House, container: ContainerClient) -> None:
    world = house.stage.world
    names = [f"many/{number:05d}" for number in range(10_000)]
    blob = container.upload_blob("many/00000", b"")

    def fill(unit) -> None:
        values = unit.connection.execute(select(tables.blobs)).mappings().one()
        dialect.insert_many_or_leave(unit.connection, tables.blobs, [{**values, "path": name} for name in names])

    world.store.write(fill)
    found, marker = [], ""
    for _ in range(2):
        url = f"{container.url}&restype=container&comp=list&prefix=many/&marker={marker}"
        page = httpx.get(url, trust_env=False).text
        found.append(re.findall("<Name>(.*?)</Name>", page))
        marker = re.findall("<NextMarker>(.*)</NextMarker>", page)[0]
    assert marker == "" and [len(some) for some in found] == [5000, 5000] and found[0] + found[1] == names
    assert [one.name for one in container.list_blobs(name_starts_with="many/0999", results_per_page=3)] == names[9990:]
    lay(house, "jobs/one/out", a=b"1", b=b"2")
    lay(house, "jobs/two", model=b"3")
    lay(house, "jobs/three.txt", is_file=True, three=b"4")
    container.upload_blob("jobs", b"")
    container.upload_blob("jobs/one/b", b"5")
    for most in (1, 2, 5000):
        walked = list(container.walk_blobs(results_per_page=most))
        assert {one.name: isinstance(one, BlobPrefix) for one in walked} == {
            "jobs": False,
            "jobs/": True,
            "many/": True,
        }
        inside = list(container.walk_blobs(name_starts_with="jobs/", results_per_page=most))
        assert sorted(one.name for one in inside) == ["jobs/one/", "jobs/three.txt", "jobs/two/"]
        whole = [one.name for one in container.list_blobs(name_starts_with="jobs", results_per_page=most)]
        assert whole == ["jobs", "jobs/one/b", "jobs/one/out/a", "jobs/one/out/b", "jobs/three.txt", "jobs/two/model"]
    assert blob.exists()


def test_an_upload_is_a_jobs_input_and_its_output_is_a_blob(house: House, container: ContainerClient) -> None:
    container.upload_blob("LocalUpload/abc/data/train 1.csv", b"1,2")
    container.upload_blob("LocalUpload/abc/data/sub//deep.csv", b"3,4")
    container.upload_blob("LocalUpload/abc/data/sub/", b"")
    assert held(house, "LocalUpload/abc/data") == {"train 1.csv": b"1,2", "sub/deep.csv": b"3,4"}
    assert held(house, "LocalUpload/abc/data/train 1.csv") == {"train 1.csv": b"1,2"}
    lay(house, "azureml/job/out", a=b"old", b=b"b")
    blob = container.get_blob_client("azureml/job/out/a")
    before = blob.get_blob_properties()
    assert blob.download_blob().readall() == b"old" and before.size == 3
    blob.set_blob_metadata({"seen": "yes"})
    assert blob.download_blob().readall() == b"old" and blob.get_blob_properties().metadata == {"seen": "yes"}
    container.upload_blob("azureml/job/out/a", b"new", overwrite=True)
    container.delete_blob("azureml/job/out/b")
    assert held(house, "azureml/job/out") == {"a": b"new"}
    assert [one.name for one in container.list_blobs(name_starts_with="azureml/")] == ["azureml/job/out/a"]
    lay(house, "azureml/job/out", a=b"newest", b=b"again")
    assert held(house, "azureml/job/out") == {"a": b"newest", "b": b"again"}
    assert blob.download_blob().readall() == b"newest"
    container.delete_blob("azureml/job/out/a")
    assert not blob.exists() and held(house, "azureml/job/out") == {"b": b"again"}
    artifacts = container_name(house, "workspaceartifactstore")
    lay(house, "ExperimentRun/dcid.job", datastore="workspaceartifactstore", log=b"hello")
    with client(house, name=artifacts) as other:
        assert other.download_blob("ExperimentRun/dcid.job/log").readall() == b"hello"


def test_addresses_without_the_account_lead_to_the_same(house: House, container: ContainerClient) -> None:
    container.upload_blob("here", b"x")
    with client(house, form="") as short:
        assert short.download_blob("here").readall() == b"x"
    for form in (f"/{ACCOUNT}", ""):
        address = f"https://elsewhere:1{form}/{container_name(house)}/here"
        found = data.find(house.stage.world, HERE, address, type="uri_file")
        assert (found.reference, found.is_file) == ("azureml://datastores/workspaceblobstore/paths/here", True)


def test_a_signature_is_good_for_what_it_says(house: House, container: ContainerClient) -> None:
    container.upload_blob("dir/a", b"a")
    container.upload_blob("directory", b"b")

    def refused(sas: str, work, code: str) -> None:
        with client(house, sas) as some, pytest.raises((ClientAuthenticationError, HttpResponseError)) as caught:
            work(some)
        assert (caught.value.status_code, caught.value.error_code) == (403, code)

    reads, writes, lists = (
        lambda some: some.download_blob("dir/a").readall(),
        lambda some: some.upload_blob("dir/a", b"z", overwrite=True),
        lambda some: list(some.list_blobs()),
    )
    denied, too_little = "AuthenticationFailed", "AuthorizationPermissionMismatch"
    refused(signed(house, "r"), writes, too_little)
    refused(signed(house, "c"), writes, too_little)
    refused(signed(house, "rcwd"), lists, too_little)
    refused(signed(house, "wl"), reads, too_little)
    refused(signed(house, "rwl"), lambda some: some.delete_blob("dir/a"), too_little)
    refused(signed(house, blob="dir/a"), lists, denied)
    refused(signed(house, folder="dir"), lists, denied)
    refused(signed(house, folder="dir"), lambda some: list(some.list_blobs(name_starts_with="dir")), too_little)
    refused(signed(house, folder="dir"), lambda some: some.download_blob("directory"), denied)
    refused(signed(house, blob="directory"), reads, denied)
    refused(signed(house, name=container_name(house, "workspaceartifactstore")), reads, denied)
    with client(house, signed(house, folder="dir")) as some:
        assert [one.name for one in some.list_blobs(name_starts_with="dir/")] == ["dir/a"]
        assert reads(some) == b"a"
    with client(house, signed(house, "c")) as some:
        some.upload_blob("dir/new", b"n")
    old = signed(house)
    house.stage.clock.advance(3600_001)
    refused(old, reads, denied)
    bare = httpx.get(f"{house.url}/{ACCOUNT}/{container_name(house)}/dir/a", trust_env=False)
    assert bare.status_code == 403


def test_one_altered_letter_of_a_signature_is_refused(house: House) -> None:
    world = house.stage.world
    sas, name = signed(house, "rl", blob="dir/a"), container_name(house)
    pairs = [
        tuple(part.split("=", 1))
        for part in sas.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=").replace("%3A", ":").split("&")
    ]
    now = world.clock.now()
    assert world.signatures.verify(pairs, name, "dir/a", now).allowed == "rl"
    for index, (key, value) in enumerate(pairs):
        for place in range(len(value)):
            for bit in range(7):
                other = value[:place] + chr(ord(value[place]) ^ (1 << bit)) + value[place + 1 :]
                with pytest.raises(MayflyError):
                    world.signatures.verify([*pairs[:index], (key, other), *pairs[index + 1 :]], name, "dir/a", now)
        with pytest.raises(MayflyError):
            world.signatures.verify([*pairs, (key, value)], name, "dir/a", now)
    for extra in (("sdd", "1"), ("st", "2020-01-01T00:00:00Z")):
        with pytest.raises(MayflyError):
            world.signatures.verify([*pairs, extra], name, "dir/a", now)


def test_names_that_lead_elsewhere_are_refused(house: House, container: ContainerClient) -> None:
    sas = container.url.partition("?")[2]
    for name in ("..%2Fx", "a%2F..%2Fb", "%2e", "a%5Cb", "a%00b", "a%0Ab", "%ff"):
        with httpx.Client(trust_env=False) as raw:
            url = f"{house.url}/{ACCOUNT}/{container_name(house)}/{name}?{sas}"
            answer = raw.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"})
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidUri"), name
    assert list(container.list_blobs()) == []
