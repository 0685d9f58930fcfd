"""Large blobs in blocks, copies, and hashes, by azure-storage-blob."""

from __future__ import annotations

import base64
import hashlib
import os

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, ContainerClient
from blob_clients import ACCOUNT, client, container_name, signed

from mayfly.api.blob.crc64 import Crc64
from mayfly.testing.serving import House


def test_many_blocks_at_once_become_the_blob(house: House, container: ContainerClient) -> None:
    data = os.urandom(5 << 20) + b"end"
    blob = ContainerClient(
        f"{house.url}/{ACCOUNT}",
        container_name(house),
        signed(house),
        max_single_put_size=1 << 18,
        max_block_size=1 << 18,
    ).get_blob_client("large file")
    with blob:
        blob.upload_blob(data, max_concurrency=8, metadata={"a": "b"}, validate_content=True)
        assert blob.download_blob(max_concurrency=4).readall() == data
        told = blob.get_blob_properties()
        assert told.size == len(data) and told.metadata == {"a": "b"}
        committed, waiting = blob.get_block_list("all")
        assert (len(committed), waiting) == (21, [])
        blob.upload_blob(data[: 1 << 19], max_concurrency=2, overwrite=True)
        assert blob.download_blob().readall() == data[: 1 << 19]
    assert not any((house.stage.world.blocks._folder).iterdir())  # type: ignore[attr-defined]


def test_a_list_may_take_blocks_of_the_blob_again(container: ContainerClient) -> None:
    blob = container.get_blob_client("log")
    with pytest.raises(ResourceNotFoundError):
        blob.get_block_list("all")
    blob.stage_block("1", b"one,")
    blob.stage_block("2", b"two,")
    assert not blob.exists()
    assert [(block.id, block.size) for block in blob.get_block_list("uncommitted")[1]] == [("1", 4), ("2", 4)]
    blob.commit_block_list([BlobBlock("2"), BlobBlock("1")])
    assert blob.download_blob().readall() == b"two,one,"
    blob.stage_block("3", b"three")
    blob.commit_block_list([BlobBlock("1"), BlobBlock("1"), BlobBlock("3")])
    assert blob.download_blob().readall() == b"one,one,three"
    with pytest.raises(HttpResponseError) as caught:
        blob.commit_block_list([BlobBlock("2")])
    assert (caught.value.status_code, caught.value.error_code) == (400, "InvalidBlockList")
    assert blob.download_blob().readall() == b"one,one,three"
    blob.commit_block_list([])
    assert blob.download_blob().readall() == b""


def test_no_document_type_hides_in_a_block_list(house: House, container: ContainerClient) -> None:
    url = f"{container.url.replace('?', '/bomb?', 1)}&comp=blocklist"
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><BlockList><Latest>&x;</Latest></BlockList>'
    for body in (bomb.encode(), bomb.encode("utf-16"), b"<BlockList>", b"<BlockList><Other>MQ==</Other></BlockList>"):
        answer = httpx.put(url, content=body, trust_env=False)
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidXmlDocument")


def test_a_copy_is_made_at_once(house: House, container: ContainerClient) -> None:
    source = container.upload_blob("source", b"data", metadata={"of": "source"})
    copy = container.get_blob_client("dir/copy")
    assert copy.start_copy_from_url(source.url)["copy_status"] == "success"
    assert copy.download_blob().readall() == b"data" and copy.get_blob_properties().metadata == {"of": "source"}
    copy.upload_blob_from_url(source.url, overwrite=True, metadata={"of": "copy"})
    assert copy.get_blob_properties().metadata == {"of": "copy"}
    with client(house, signed(house, "wl")) as other, pytest.raises(HttpResponseError) as caught:
        copy.start_copy_from_url(other.get_blob_client("source").url)
    assert caught.value.status_code == 403
    for elsewhere in ("https://example.com/a/b", f"{house.url}/mayfly/v1/server", "nonsense"):
        with pytest.raises(HttpResponseError) as caught:
            copy.start_copy_from_url(elsewhere)
        assert caught.value.error_code == "CannotVerifyCopySource"


def test_many_are_removed_at_once(house: House, container: ContainerClient) -> None:
    names = ["a b/ü", "c?d", "e"]
    for name in names:
        container.upload_blob(name, b"x")
    answers = list(container.delete_blobs("nothing", *names[:2], raise_on_any_failure=False))
    assert [one.status_code for one in answers] == [404, 202, 202]
    assert [one.name for one in container.list_blobs()] == ["e"]
    with client(house, signed(house, "rwl")) as other:
        assert [one.status_code for one in other.delete_blobs("e", raise_on_any_failure=False)] == [403]
    assert [one.name for one in container.list_blobs()] == ["e"]


def test_both_kinds_of_hashes_are_checked(container: ContainerClient) -> None:
    def crc(data: bytes) -> str:
        found = Crc64()
        found.update(data[:5])
        found.update(data[5:])
        return base64.b64encode(found.digest()).decode()

    assert base64.b64decode(crc(b"123456789"))[::-1].hex() == "ae8b14860a799888"  # the catalogue's check value
    data = bytes(range(256)) * 5
    block = container.url.replace("?", "/blob?", 1) + "&comp=block&blockid=" + base64.b64encode(b"1").decode()
    blob = container.url.replace("?", "/blob?", 1)
    for url, more in ((block, {}), (blob, {"x-ms-blob-type": "BlockBlob"})):
        for name, right, wrong, code in (
            ("x-ms-content-crc64", crc(data), crc(data[1:]), "Crc64Mismatch"),
            (
                "Content-MD5",
                base64.b64encode(hashlib.md5(data).digest()).decode(),
                base64.b64encode(hashlib.md5(data[1:]).digest()).decode(),
                "Md5Mismatch",
            ),
        ):
            refused = httpx.put(url, content=data, headers={name: wrong, **more}, trust_env=False)
            assert (refused.status_code, refused.headers["x-ms-error-code"]) == (400, code)
            taken = httpx.put(url, content=data, headers={name: right, **more}, trust_env=False)
            assert taken.status_code == 201 and taken.headers[name] == right


def test_what_is_not_kept_here_is_refused_by_name(container: ContainerClient) -> None:
    blob = container.upload_blob("one", b"x")
    for ask in (
        blob.create_snapshot,
        blob.acquire_lease,
        lambda: blob.set_blob_tags({"a": "b"}),
        lambda: container.get_blob_client("pages").create_page_blob(512),
        lambda: container.get_blob_client("appended").create_append_blob(),
    ):
        with pytest.raises(HttpResponseError) as caught:
            ask()
        assert caught.value.status_code == 400, ask
