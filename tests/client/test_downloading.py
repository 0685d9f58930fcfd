"""Downloads: Azure's layout, verified bytes, nothing outside the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mayfly.client.doors import Doors, Place
from mayfly.client.downloading import download
from mayfly.kit.errors import Broken, Conflict, Invalid, NotFound
from mayfly.kit.ids import Digest
from mayfly.testing.scripted_server import TOKEN, Call, Reply, Script, job_view, scripted_server
from mayfly.transfer import packs, trees
from mayfly.transfer.http import Session
from mayfly.wire.agent import Tree, TreeEntry

NAME = "calm_fig_0123456789"


class Job:
    """A job's outputs on a scripted server."""

    def __init__(self, server: Script) -> None:
        self.server = server
        self.contents: dict[str, bytes] = {}
        self.outputs: list[dict[str, Any]] = []
        server.on(f"GET jobs/{NAME}/logs", {"logs": []})
        server.on(f"GET jobs/{NAME}/outputs", lambda _call: Reply(self.outputs))
        server.on("POST content/fetch", self._fetch)

    def output(self, name: str, files: dict[str, bytes], *, claimed: str | None = None) -> None:
        entries = []
        for path, data in sorted(files.items()):
            digest = hashlib.sha256(data).hexdigest()
            self.contents[digest] = data
            entries.append(TreeEntry(path=path, digest=digest, size=len(data)))
        tree = Tree(entries=tuple(entries))
        digest = claimed or trees.digest_of(tree)
        self.server.on(f"GET content/trees/{digest}", Reply(trees.canonical(tree)))
        self.outputs.append({"name": name, "tree": digest, "files": len(files), "bytes": 0})

    def log(self, file: str, data: bytes) -> None:
        self.server.on(f"GET jobs/{NAME}/logs", {"logs": [{"file": file, "size": len(data), "sealed": True}]})
        self.server.on(f"GET jobs/{NAME}/logs/{file}", Reply(data))

    def _fetch(self, call: Call) -> Reply:
        wanted = call.json()["digests"]
        items = ((Digest(d), len(self.contents[d]), [self.contents[d]]) for d in wanted)
        return Reply(b"".join(packs.write(items)), media_type=packs.MEDIA_TYPE)


@pytest.fixture
def server() -> Iterator[Script]:
    with scripted_server() as script:
        yield script


@pytest.fixture
def doors(server: Script) -> Iterator[Doors]:
    with Session(server.url, TOKEN) as session:
        yield Doors(session, Place())


@pytest.fixture
def job(server: Script) -> Job:
    return Job(server)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_azures_layout(job: Job, doors: Doors, tmp_path: Path) -> None:
    job.output("default", {"outputs/model/a.bin": b"a", "outputs/b.txt": b""})
    job.output("scores", {"s.csv": b"1,2"})
    job.log("user_logs/std_log.txt", b"said\n")
    done = download(doors, job_view(NAME), tmp_path, everything=True)
    assert _files(tmp_path) == {
        "artifacts/outputs/b.txt": b"",
        "artifacts/outputs/model/a.bin": b"a",
        "artifacts/user_logs/std_log.txt": b"said\n",
        "named-outputs/scores/s.csv": b"1,2",
    }
    assert {item.name for item in done} == {"default", "scores"}
    download(doors, job_view(NAME), tmp_path / "again")
    assert _files(tmp_path / "again") == {
        "artifacts/outputs/b.txt": b"",
        "artifacts/outputs/model/a.bin": b"a",
        "artifacts/user_logs/std_log.txt": b"said\n",
    }


def test_one_output_only(job: Job, doors: Doors, tmp_path: Path) -> None:
    job.output("default", {"x": b"x"})
    job.output("scores", {"s.csv": b"1,2"})
    download(doors, job_view(NAME), tmp_path, only="scores")
    assert _files(tmp_path) == {"named-outputs/scores/s.csv": b"1,2"}
    with pytest.raises(NotFound, match="no output 'scorse'") as caught:
        download(doors, job_view(NAME), tmp_path, only="scorse")
    assert caught.value.remedy == "Did you mean 'scores'?"


def test_a_job_that_runs_gives_its_last_checkpoint_or_is_refused(job: Job, doors: Doors, tmp_path: Path) -> None:
    job.output("default", {"outputs/x": b"x"})
    download(doors, job_view(NAME, status="Running"), tmp_path / "early")
    assert _files(tmp_path / "early")["artifacts/outputs/x"] == b"x"
    job.outputs.clear()
    with pytest.raises(Conflict) as caught:
        download(doors, job_view(NAME, status="Running"), tmp_path)
    assert caught.value.code == "JobNotEnded"


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../x", "a\\b", "./x", "a//b"])
def test_a_path_that_leads_outside_is_refused(
    server: Script, job: Job, doors: Doors, tmp_path: Path, path: str
) -> None:
    tree = Tree(entries=(TreeEntry(path=path, digest="0" * 64, size=0),))
    body = msgspec.json.encode(tree)
    server.on("GET content/trees/" + "1" * 64, Reply(body))
    job.outputs.append({"name": "default", "tree": "1" * 64, "files": 1, "bytes": 0})
    with pytest.raises(Invalid):
        download(doors, job_view(NAME), tmp_path / "here")
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".", "/abs"])
def test_an_output_name_that_leads_outside_is_refused(job: Job, doors: Doors, tmp_path: Path, name: str) -> None:
    job.output(name, {"x": b"x"})
    with pytest.raises(Invalid):
        download(doors, job_view(NAME), tmp_path / "here", everything=True)
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("file", ["../../x", "/etc/x"])
def test_a_log_name_that_leads_outside_is_refused(job: Job, doors: Doors, tmp_path: Path, file: str) -> None:
    job.log(file, b"x")
    with pytest.raises(Invalid):
        download(doors, job_view(NAME), tmp_path / "here")
    assert _files(tmp_path) == {}


def test_nothing_is_written_through_a_link(job: Job, doors: Doors, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "here" / "artifacts").mkdir(parents=True)
    (tmp_path / "here" / "artifacts" / "outputs").symlink_to(tmp_path / "outside")
    job.output("default", {"outputs/deep/x": b"x"})
    with pytest.raises(Invalid) as caught:
        download(doors, job_view(NAME), tmp_path / "here")
    assert caught.value.code == "LinkLeavesFolder"
    assert list((tmp_path / "outside").iterdir()) == []


def test_wrong_bytes_are_not_kept(job: Job, doors: Doors, tmp_path: Path) -> None:
    job.output("default", {"x": b"right"})
    job.contents = dict.fromkeys(job.contents, b"wrong")
    with pytest.raises(Broken) as caught:
        download(doors, job_view(NAME), tmp_path)
    assert caught.value.code == "ContentMismatch"
    assert _files(tmp_path) == {}


def test_another_file_list_than_promised_is_refused(job: Job, doors: Doors, tmp_path: Path) -> None:
    job.output("default", {"x": b"x"}, claimed="2" * 64)
    with pytest.raises(Broken):
        download(doors, job_view(NAME), tmp_path)
    assert _files(tmp_path) == {}
