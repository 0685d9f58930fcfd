"""Blobs of a real server: jobs and storage clients see the same files, and what was answered outlives a power cut."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
import yaml
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient

from mayfly.kit.clock import Millis
from mayfly.services.blobs import container_of
from mayfly.services.signatures import Grant, Signatures
from mayfly.testing.embedded import HELLO, Embedded
from mayfly.testing.nodes import until

IN_JOB = """
import os, fsspec
from azure.storage.blob import ContainerClient
url, name, sas = (os.environ[key] for key in ("BLOB_URL", "BLOB_CONTAINER", "BLOB_SAS"))
with ContainerClient(url, name, sas) as container:
    print(container.download_blob("LocalUpload/1/data.csv").readall().decode())
    container.upload_blob("from job/azure.txt", b"by azure-storage-blob")
connection = f"BlobEndpoint={url};SharedAccessSignature={sas}"
with fsspec.open(f"abfs://{name}/from job/adlfs.txt", "w", connection_string=connection) as file:
    file.write("by adlfs")
"""


def opened(server: Embedded, **options: int) -> ContainerClient:
    url, name, sas = access(server)
    return ContainerClient(url, name, sas, **options)


def access(server: Embedded) -> tuple[str, str, str]:
    workspace = server.call("GET", "/mayfly/v1/workspaces")[0]["id"]
    name = container_of(workspace, "workspaceblobstore")
    end = Millis(int(time.time() * 1000) + 3600_000)
    sas = Signatures((server.folder / "secret").read_bytes()).sign(Grant(name, "racwdl", end))
    return f"{server.record['url']}/mayfly.blob.mayfly.internal", name, sas


@pytest.mark.end_to_end
def test_jobs_and_storage_clients_see_the_same_files(embedded: Embedded) -> None:
    url, name, sas = access(embedded)
    code = embedded.place / "code"
    code.mkdir()
    (code / "main.py").write_text(IN_JOB)
    with opened(embedded) as container:
        container.upload_blob("LocalUpload/1/data.csv", b"1,2,3")
        job = embedded.submit(
            {
                "command": "python main.py && cp ${{inputs.data}}/data.csv ${{outputs.out}}/copy.csv",
                "code": str(code),
                "environment": {
                    "image": "library/python:latest",
                    "conda_file": {"dependencies": ["python", {"pip": ["adlfs"]}]},
                },
                "environment_variables": {"BLOB_URL": url, "BLOB_CONTAINER": name, "BLOB_SAS": sas},
                "inputs": {"data": {"path": "azureml://datastores/workspaceblobstore/paths/LocalUpload/1"}},
                "outputs": {"out": {}},
            }
        )
        embedded.wait(job, "Completed")
        assert embedded.log(job) == "1,2,3\n"
        assert container.download_blob(f"azureml/{job}/out/copy.csv").readall() == b"1,2,3"
        assert container.download_blob("from job/azure.txt").readall() == b"by azure-storage-blob"
        assert container.download_blob("from job/adlfs.txt").readall() == b"by adlfs"


@pytest.mark.end_to_end
def test_a_datastore_of_azures_blob_service_is_read_and_written(embedded: Embedded) -> None:
    url, name, sas = access(embedded)
    body = {"name": "far", "type": "azure_blob", "account_name": "mayfly", "container_name": name, "endpoint": url}
    far = embedded.place / "far.yml"
    far.write_text(yaml.safe_dump({**body, "credentials": {"sas_token": f"?{sas}"}}))
    embedded.json("datastore", "create", "-f", str(far))
    with opened(embedded) as container:
        container.upload_blob("in/a b ü.csv", b"1,2\n")
        container.upload_blob("in/sub/large", bytes(9 << 20))
        for mode in ("ro_mount", "download"):
            job = embedded.submit(
                {
                    **HELLO,
                    "command": 'cd ${{inputs.data}}; cat *.csv; wc -c < sub/large; echo out > "${{outputs.out}}/r é.txt"',
                    "inputs": {"data": {"path": "azureml://datastores/far/paths/in", "mode": mode}},
                    "outputs": {"out": {"path": f"azureml://datastores/far/paths/{mode}"}},
                }
            )
            embedded.wait(job, "Completed")
            assert embedded.log(job) == f"1,2\n{9 << 20}\n"
            assert container.download_blob(f"{mode}/r é.txt").readall() == b"out\n"


@pytest.mark.fault
def test_every_blob_that_was_answered_outlives_a_killed_server(embedded: Embedded, tmp_path: Path) -> None:
    answered: dict[str, str] = {}
    numbers, stop = count(), threading.Event()

    def send(container: ContainerClient) -> None:
        while not stop.is_set():
            number = next(numbers)
            data = hashlib.sha512(str(number).encode()).digest() * (1 if number % 4 else 20_000)
            try:
                container.upload_blob(f"sent/{number}", data, max_concurrency=2)
            except AzureError:
                return
            answered[f"sent/{number}"] = hashlib.sha256(data).hexdigest()

    blocky = {"max_single_put_size": 1 << 18, "max_block_size": 1 << 18, "retry_total": 0}
    with ThreadPoolExecutor(4) as pool, opened(embedded, **blocky) as container:
        sending = [pool.submit(send, container) for _ in range(4)]
        until(lambda: len(answered) >= 60)
        embedded.kill_server()
        stop.set()
        for one in sending:
            one.result()
    embedded.start()
    with opened(embedded) as container:
        there = {blob.name: blob.size for blob in container.list_blobs()}
        assert set(answered) <= set(there)
        for name in there:
            data = container.download_blob(name).readall()
            number = name.rpartition("/")[2]
            whole = hashlib.sha512(number.encode()).digest() * (1 if int(number) % 4 else 20_000)
            assert data == whole, f"{name} is there, but not whole"
