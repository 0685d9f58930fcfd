"""The blob doors by the file systems that data libraries use: adlfs (fsspec), and obstore, which Mayfly itself uses."""

from __future__ import annotations

import os
from collections.abc import Iterator

import fsspec
import pytest
from adlfs import AzureBlobFileSystem
from blob_clients import ACCOUNT, container_name, signed

from mayfly.drivers.storage_objects import ObjectStorage
from mayfly.ports.storage import Place
from mayfly.testing.serving import House


@pytest.fixture
def files(house: House) -> Iterator[AzureBlobFileSystem]:
    connection = f"BlobEndpoint={house.url}/{ACCOUNT};SharedAccessSignature={signed(house)}"
    found = fsspec.filesystem("abfs", connection_string=connection, skip_instance_cache=True, use_listings_cache=False)
    yield found
    fsspec.asyn.sync(found.loop, found.service_client.close)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # adlfs' own
def test_adlfs_reads_and_writes(house: House, files: AzureBlobFileSystem) -> None:
    root = container_name(house)
    with files.open(f"{root}/data/größe 1.csv", "wb") as file:
        file.write(b"a,b\n1,2\n")
    with files.open(f"{root}/data/empty", "wb"):
        pass
    large = os.urandom(9 << 20)
    with files.open(f"{root}/data/deep/large", "wb", blocksize=4 << 20) as file:
        for start in range(0, len(large), 1 << 20):
            file.write(large[start : start + (1 << 20)])
    with files.open(f"{root}/data/deep/large", "rb", block_size=1 << 20) as file:
        file.seek(5_000_000)
        assert file.read(1000) == large[5_000_000:5_001_000]
    assert files.cat(f"{root}/data/deep/large") == large
    assert files.cat(f"{root}/data/größe 1.csv") == b"a,b\n1,2\n" and files.cat(f"{root}/data/empty") == b""
    assert sorted(files.ls(f"{root}/data")) == [f"{root}/data/{name}" for name in ("deep", "empty", "größe 1.csv")]
    assert files.find(f"{root}/data") == [
        f"{root}/data/deep/large",
        f"{root}/data/empty",
        f"{root}/data/größe 1.csv",
    ]
    assert files.glob(f"{root}/data/*.csv") == [f"{root}/data/größe 1.csv"]
    assert files.isdir(f"{root}/data") and files.isfile(f"{root}/data/empty") and not files.exists(f"{root}/nothing")
    assert files.info(f"{root}/data/deep/large")["size"] == len(large) and files.du(f"{root}/data") == len(large) + 8
    files.cp_file(f"{root}/data/größe 1.csv", f"{root}/data/copy.csv")
    files.mv(f"{root}/data/copy.csv", f"{root}/data/moved.csv")
    assert files.cat(f"{root}/data/moved.csv") == b"a,b\n1,2\n" and not files.exists(f"{root}/data/copy.csv")
    files.rm(f"{root}/data", recursive=True)
    assert not files.exists(f"{root}/data")


def test_obstore_reads_and_writes(house: House) -> None:
    storage = ObjectStorage()
    credentials = {"endpoint": f"{house.url}/{ACCOUNT}", "sas_key": signed(house)}
    place = Place(f"az://mayfly/{container_name(house)}/folder", credentials)
    storage.write(place, "a b/ü.txt", [b"hello ", b"you"])
    storage.write(place, "empty", [])
    assert [(entry.path, entry.size) for entry in storage.list(place)] == [("a b/ü.txt", 9), ("empty", 0)]
    assert b"".join(storage.read(place, "a b/ü.txt", 6)) == b"you" and not storage.is_file(place)
    storage.remove(place)
    assert list(storage.list(Place(place.address.removesuffix("/folder"), credentials))) == []
