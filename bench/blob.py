"""How fast the blob doors take an upload: one file of 80 MiB, and 1,000 files of 1 KiB.

    python bench/blob.py [--rounds 5] [--azurite /folder/node_modules/azurite]

By azure-storage-blob as the SDK uses it: 16 threads, files above 64 MiB in blocks of 4 MiB. Every blob of Mayfly survives
power loss when it is answered: bytes and row are synced. With `--azurite` the folder of that npm package (npm install
azurite, anywhere) runs beside it, round by round, on the same disk; it syncs the bytes too (fdatasync) and writes its
index every few seconds, so it promises less. Prints JSON; times in seconds, medians. Reach: at least as fast as Azurite.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from azure.storage.blob import BlobServiceClient, ContainerClient

from mayfly.kit.clock import Millis
from mayfly.services.blobs import container_of
from mayfly.services.signatures import Grant, Signatures

THREADS = 16
LARGE = 80 << 20
SMALL, FILES = 1 << 10, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--azurite", type=Path, help="the folder of the npm package azurite")
    parser.add_argument("--folder", type=Path, help="where both keep their data; a folder below it is made and removed")
    asked = parser.parse_args()
    shown: dict = {"machine": {"python": platform.python_version(), "cores": os.cpu_count()}}
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-", dir=asked.folder) as name:
        folder = Path(name)
        with mayfly(folder / "mayfly") as ours:
            if asked.azurite is None:
                shown["azurite"] = "not given: --azurite names the folder of its npm package"
                shown["mayfly"] = rounds({"mayfly": ours}, asked.rounds)["mayfly"]
            else:
                with azurite(asked.azurite, folder / "azurite") as theirs:
                    shown |= rounds({"mayfly": ours, "azurite": theirs}, asked.rounds)
    print(json.dumps(shown, indent=1))


def rounds(servers: dict[str, ContainerClient], count: int) -> dict[str, dict]:
    large = os.urandom(LARGE)
    small = [os.urandom(SMALL) for _ in range(FILES)]
    times: dict[str, dict[str, list[float]]] = {name: {"large": [], "small": []} for name in servers}
    for number in range(count + 1):  # the first one warms up
        for name, client in servers.items():
            took = {
                "large": timed(lambda c=client, n=number: c.upload_blob(f"large/{n}", large, max_concurrency=THREADS)),
                "small": timed(lambda c=client, n=number: many(c, f"small/{n}", small)),
            }
            for kind in took if number else ():
                times[name][kind].append(took[kind])
    return {
        name: {
            "upload of 80 MiB": statistics.median(found["large"]),
            "1,000 files of 1 KiB": statistics.median(found["small"]),
            "all": found,
        }
        for name, found in times.items()
    }


def many(client: ContainerClient, prefix: str, files: list[bytes]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda one: client.upload_blob(f"{prefix}/{one[0]}", one[1]), enumerate(files)))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return round(time.perf_counter() - begin, 3)


# --- servers ----------------------------------------------------------------------------------------------------------


@contextmanager
def mayfly(home: Path) -> Iterator[ContainerClient]:
    with process([sys.executable, "-m", "mayfly.main.server", "--home", str(home)], home.parent / "mayfly.log"):
        told = json.loads(waited(lambda: (home / "server.json").read_text()))
        token = Path(told["token_file"]).read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{told['url']}/mayfly/v1/workspaces"
        workspace = httpx.get(url, headers=headers, trust_env=False).raise_for_status().json()[0]["id"]
        name = container_of(workspace, "workspaceblobstore")
        until = Millis(int(time.time() * 1000) + 3600_000)
        sas = Signatures((home / "secret").read_bytes()).sign(Grant(name, "racwdl", until))
        with ContainerClient(f"{told['url']}/bench.blob.local", name, sas) as client:
            yield client


@contextmanager
def azurite(package: Path, folder: Path) -> Iterator[ContainerClient]:
    node = shutil.which("node")
    script = package / "dist" / "src" / "blob" / "main.js"
    if node is None or not script.is_file():
        sys.exit(
            f"There is no {'node' if node is None else script}: install node and, in any folder, npm install azurite."
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    options = ["--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    key = base64.b64encode(b"a key for the bench, of any bytes").decode()
    given = {**os.environ, "AZURITE_ACCOUNTS": f"bench:{key}"}
    with process([node, str(script), *options], folder.parent / "azurite.log", given):
        url = f"http://127.0.0.1:{port}/bench"
        waited(lambda: httpx.get(url, trust_env=False))
        with BlobServiceClient(url, {"account_name": "bench", "account_key": key}) as service:
            yield service.create_container("bench")


@contextmanager
def process(command: list[str], log: Path, given: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as file:
        running = subprocess.Popen(command, stdout=file, stderr=file, env=given)
        try:
            yield
        finally:
            running.terminate()
            running.wait(30)


def waited(look: Callable):
    for _ in range(300):
        try:
            return look()
        except (OSError, httpx.TransportError):
            time.sleep(0.1)
    raise TimeoutError("the server did not come up")


if __name__ == "__main__":
    main()
