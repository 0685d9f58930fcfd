import hashlib
import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from mayfly.client import gitstate, jobfile, snapshot
from mayfly.kit.errors import Invalid, Unavailable
from mayfly.kit.ids import Digest
from mayfly.transfer import packs, trees


class Server:
    """The content doors, over a dictionary; `breaks` uploads break off half-way."""

    def __init__(self, breaks: int = 0) -> None:
        self.blobs: dict[str, bytes] = {}
        self.trees: dict[str, bytes] = {}
        self.packs: list[list[str]] = []
        self.asked = 0
        self.breaks = breaks

    def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        self.asked += len(digests)
        return [digest for digest in digests if digest not in self.blobs and digest not in self.trees]

    def store(self, items: Iterable[tuple[Digest, int, Iterable[bytes]]]) -> int:
        stored = []
        for digest, size, chunks in packs.read(packs.write(items)):
            data = b"".join(chunks)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest)
            self.blobs[digest] = data
            stored.append(digest)
            if self.breaks:
                self.breaks -= 1
                raise Unavailable("ServerSilent", "broke off")
        self.packs.append(stored)
        return len(stored)

    def put_tree(self, digest: Digest, canonical: bytes) -> None:
        tree = trees.decode(canonical)
        assert trees.digest_of(tree) == digest
        if not all(entry.digest in self.blobs for entry in tree.entries):
            raise Invalid("BlobsMissing", "some files of the tree are not here")
        self.trees[digest] = canonical


def project(root: Path) -> Path:
    (root / "src" / "deep").mkdir(parents=True)
    (root / "src" / "train.py").write_text("print(1)")
    (root / "src" / "deep" / "same.py").write_text("print(1)")
    (root / "src" / "big.bin").write_bytes(b"x" * 100)
    (root / "src" / ".amlignore").write_text("big.bin\n")
    (root / "data.csv").write_text("a,b\n")
    (root / "rows").mkdir()
    (root / "rows" / "1").write_text("r")
    (root / "job.yml").write_text(
        "command: x\ncode: src\nenvironment: {image: i}\n"
        "inputs:\n  one: {type: uri_file, path: data.csv}\n  many: {path: rows}\n  n: 3\n"
    )
    return root / "job.yml"


def test_what_a_job_points_to_is_sent_once(tmp_path: Path) -> None:
    server, seen = Server(), []
    job = jobfile.read(project(tmp_path))
    cache = tmp_path / "cache.json"
    made = snapshot.prepare(job, server, lambda *row: seen.append(row), cache=cache, working_folder=tmp_path)
    assert set(made.uploads) == {"/code", "/inputs/one/path", "/inputs/many/path"}
    assert made.files == ["/inputs/one/path"]
    assert (made.source_name, made.working_folder_name) == ("job.yml", tmp_path.name)
    code = trees.decode(server.trees[made.uploads["/code"]])
    assert [entry.path for entry in code.entries] == [".amlignore", "deep/same.py", "train.py"]
    assert b"x" * 100 not in server.blobs.values()
    assert seen[-1][1] == seen[-1][2]
    assert {what for what, _, _ in seen} == {"code", "inputs.one", "inputs.many"}

    server.packs.clear()
    assert snapshot.prepare(job, server, cache=cache, working_folder=tmp_path) == made
    assert server.packs == []

    (tmp_path / "src" / "train.py").write_text("print(2)")
    changed = snapshot.prepare(job, server, cache=cache, working_folder=tmp_path)
    assert [len(pack) for pack in server.packs] == [1]
    assert changed.uploads["/code"] != made.uploads["/code"]


def test_only_what_has_changed_is_asked_for_and_all_of_it_where_a_server_lacks_the_rest(tmp_path: Path) -> None:
    job, cache = jobfile.read(project(tmp_path)), tmp_path / "cache.json"
    long_ago = time.time() - 100
    for number in range(20):
        path = tmp_path / "src" / f"{number}.py"
        path.write_text(f"{number}")
        os.utime(path, (long_ago, long_ago))
    while time.time() - path.stat().st_ctime < 2.1:  # what is younger is not remembered
        time.sleep(0.05)
    server = Server()
    snapshot.prepare(job, server, cache=cache)
    assert server.asked > 20
    (tmp_path / "src" / "0.py").write_text("changed")
    server.asked = 0
    made = snapshot.prepare(job, server, cache=cache)
    assert server.asked < 10 and made.uploads["/code"] in server.trees
    other = Server()
    (tmp_path / "src" / "0.py").write_text("changed again")
    made = snapshot.prepare(job, other, cache=cache)
    assert made.uploads["/code"] in other.trees


def test_a_broken_upload_is_taken_up_again(tmp_path: Path) -> None:
    server = Server(breaks=1)
    made = snapshot.prepare(jobfile.read(project(tmp_path)), server)
    assert made.uploads["/code"] in server.trees
    assert sum(len(pack) for pack in server.packs) == 3

    (tmp_path / "src" / "more").write_text("1")
    with pytest.raises(Unavailable):
        snapshot.prepare(jobfile.read(tmp_path / "job.yml"), Server(breaks=100))


def test_code_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    path = project(tmp_path)
    (tmp_path / "src" / "link").symlink_to("../data.csv")
    job, server = jobfile.read(path), Server()
    with pytest.raises(Invalid) as raised:
        snapshot.prepare(job, server)
    (fault,) = raised.value.all_faults()
    assert fault.code == "LinkLeavesFolder"
    assert job.locate(fault).startswith(f"{path}:2: ")
    assert server.blobs == {}


def test_a_bad_file_sends_nothing(tmp_path: Path) -> None:
    path = project(tmp_path)
    path.write_text(path.read_text() + "foo: 1\n")
    server = Server()
    with pytest.raises(Invalid):
        snapshot.prepare(jobfile.read(path), server)
    assert server.blobs == {}


def test_notes_name_what_git_would_have_dropped(tmp_path: Path) -> None:
    path = project(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("deep/\n")
    said: list[str] = []
    snapshot.prepare(jobfile.read(path), Server(), say=said.append)
    assert said == ["code: git would leave out deep/same.py; the snapshot follows .amlignore"]


def test_a_job_without_files_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("command: x\nenvironment: {image: i}\n")
    made = snapshot.prepare(jobfile.read(tmp_path / "job.yml"), Server())
    assert made.uploads == {}


def git(folder: Path, *words: str) -> None:
    own = ["-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *own, "-C", str(folder), *words], check=True, capture_output=True)


def test_git_state_without_credentials(tmp_path: Path) -> None:
    assert gitstate.of(tmp_path) is None
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "remote", "add", "origin", "https://me:secret@example.com/r.git?token=x")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = gitstate.of(tmp_path)
    assert clean is not None
    assert (clean.repository, clean.branch, clean.dirty) == ("https://example.com/r.git", "trunk", False)
    assert clean.commit is not None
    assert len(clean.commit) == 40
    (tmp_path / "a").write_text("2")
    (tmp_path / "sub").mkdir()
    dirty = gitstate.of(tmp_path / "sub")
    assert dirty is not None
    assert dirty.dirty


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    found = gitstate.of(tmp_path)
    assert found is not None
    assert (found.commit, found.branch, found.repository) == (None, "trunk", None)


def test_git_that_does_not_answer_in_time_is_no_git(tmp_path: Path) -> None:
    assert gitstate.of(tmp_path, limit_s=0.0) is None


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://user@host/a", "https://host/a"),
        ("https://user:p%40ss@host:8443/a#frag", "https://host:8443/a"),
        ("ssh://git@host:22/a", "ssh://host:22/a"),
        ("git@github.com:a/b.git", "github.com:a/b.git"),
        ("user:secret@host", None),
        ("https://[::1]:80/a", "https://[::1]:80/a"),
        ("https://host:port/a", None),
        ("/srv/git/a", "/srv/git/a"),
        ("../a", "../a"),
    ],
)
def test_addresses_lose_their_secrets(url: str, clean: str | None) -> None:
    assert gitstate.without_credentials(url) == clean
