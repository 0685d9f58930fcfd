import hashlib
import os
import socket
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayfly.kit.errors import Broken, Invalid
from mayfly.kit.ids import Digest
from mayfly.transfer import trees
from mayfly.transfer.stats import StatCache
from mayfly.wire.agent import Tree, TreeEntry

DIGEST = "a" * 64


def sha(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def tree(*paths: str) -> Tree:
    return Tree(entries=tuple(TreeEntry(path=path, digest=DIGEST, size=1) for path in paths))


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "paths",
    [
        ("/etc/passwd",),
        ("../up",),
        ("a/../../b",),
        ("a\\b",),
        ("a//b",),
        ("a/",),
        ("",),
        (".",),
        ("./a",),
        ("a\x00b",),
        ("a", "a"),
        ("b", "a"),
        ("a", "a/b"),
        ("a", "a-b", "a/b"),
        ("a/b", "a/b/c/d"),
    ],
)
def test_a_tree_that_could_harm_is_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as raised:
        trees.decode(msgspec.json.encode(tree(*paths)))
    assert raised.value.code == "TreeInvalid"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"entries": 3}',
        b'{"entries": [{"path": "a"}]}',
        b'{"entries": [{"path": "a", "digest": "AA", "size": 1}]}',
        b'{"entries": [{"path": "a", "digest": "' + DIGEST.encode() + b'", "size": -1}]}',
        b'{"entries": [{"path": "\\ud800", "digest": "' + DIGEST.encode() + b'", "size": 1}]}',
    ],
)
def test_what_is_no_tree_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        trees.decode(data)
    assert raised.value.code == "TreeInvalid"


NAME = st.text(st.characters(exclude_characters="/\\\x00", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)


@given(st.sets(NAME), st.integers(0, 1 << 60), st.booleans())
def test_canonical_bytes_come_back_as_the_same_tree(names: set[str], size: int, executable: bool) -> None:
    made = Tree(
        entries=tuple(TreeEntry(path=n, digest=DIGEST, size=size, executable=executable) for n in sorted(names))
    )
    assert trees.decode(trees.canonical(made)) == made
    assert trees.digest_of(trees.decode(trees.canonical(made))) == trees.digest_of(made)


def test_the_digest_of_a_tree_never_changes_between_versions() -> None:
    assert trees.canonical(tree("a")) == b'{"entries":[{"digest":"' + DIGEST.encode() + b'","path":"a","size":1}]}'
    assert trees.digest_of(trees.EMPTY) == sha(b'{"entries":[]}')


def test_scan_names_every_file_by_content(tmp_path: Path) -> None:
    write(tmp_path, b="two", a__x="one", a__y="one", a_="z")
    (tmp_path / "b").chmod(0o755)
    (tmp_path / "empty").mkdir()
    scan = trees.scan(tmp_path)
    assert [(e.path, e.size, e.executable) for e in scan.tree.entries] == [
        ("a/x", 3, False),
        ("a/y", 3, False),
        ("a_", 1, False),
        ("b", 3, True),
    ]
    assert scan.total_bytes == 10
    assert set(scan.files) == {sha(b"one"), sha(b"two"), sha(b"z")}
    assert trees.decode(trees.canonical(scan.tree)) == scan.tree


def test_scan_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, keep="1", data__big="2", data__small="3")
    scan = trees.scan(tmp_path, lambda path, is_folder: path == "data" and is_folder)
    assert [e.path for e in scan.tree.entries] == ["keep"]


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    write(tmp_path, real__file="1")
    (tmp_path / "link").symlink_to("real/file")
    (tmp_path / "folder").symlink_to("real")
    scan = trees.scan(tmp_path, links="inside")
    assert [e.path for e in scan.tree.entries] == ["folder/file", "link", "real/file"]


@pytest.mark.parametrize(
    ("target", "links", "code"),
    [
        ("../outside/file", "inside", "LinkLeavesFolder"),
        ("../outside", "inside", "LinkLeavesFolder"),
        ("../outside", "anywhere", "LinkLeavesFolder"),
        ("/nowhere/at/all", "inside", "LinkBroken"),
        ("nothing", "anywhere", "LinkBroken"),
        (".", "anywhere", "LinkLoop"),
        ("link", "inside", "LinkLoop"),
    ],
)
def test_links_that_cannot_be_followed_are_refused(tmp_path: Path, target: str, links: trees.Links, code: str) -> None:
    write(tmp_path, outside__file="secret", code__a="1")
    (tmp_path / "code" / "link").symlink_to(target)
    with pytest.raises(Invalid) as raised:
        trees.scan(tmp_path / "code", links=links)
    assert raised.value.code == code
    assert "link" in raised.value.message
    assert raised.value.remedy
    scan = trees.scan(tmp_path / "code", links="skip")
    assert [e.path for e in scan.tree.entries] == ["a"]
    assert scan.skipped == ("link",)


def test_an_ignored_link_is_nobodys_business(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    (tmp_path / "link").symlink_to("/nowhere")
    assert len(trees.scan(tmp_path, lambda path, _: path == "link").tree.entries) == 1


def test_data_may_link_to_a_file_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, outside__file="far", data__a="1")
    (tmp_path / "data" / "link").symlink_to("../outside/file")
    scan = trees.scan(tmp_path / "data", links="anywhere")
    assert [(e.path, e.digest) for e in scan.tree.entries] == [("a", sha(b"1")), ("link", sha(b"far"))]


def test_sockets_and_pipes_are_named_not_read(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    os.mkfifo(tmp_path / "pipe")
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)
    scan = trees.scan(tmp_path)
    assert scan.skipped == ("pipe", "socket")


def test_names_that_cannot_travel_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a\\b").write_text("1")
    with pytest.raises(Invalid) as raised:
        trees.scan(tmp_path)
    assert raised.value.code == "FileNameInvalid"


def test_a_single_file_is_a_tree_of_one(tmp_path: Path) -> None:
    write(tmp_path, data="1")
    scan = trees.tree_of_file(tmp_path / "data")
    assert scan.tree == Tree(entries=(TreeEntry(path="data", digest=sha(b"1"), size=1),))
    with pytest.raises(Invalid) as raised:
        trees.tree_of_file(tmp_path / "missing")
    assert raised.value.code == "FileUnreadable"


class LaterCache(StatCache):
    """A cache opened an hour later."""

    def _file_system_now(self) -> int:
        return super()._file_system_now() + 3600 * 10**9


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, code__a="1", code__b="2")
    first = LaterCache(tmp_path / "cache.json")
    before = trees.scan(tmp_path / "code", cache=first)
    first.save()
    again = LaterCache(tmp_path / "cache.json")
    assert trees.scan(tmp_path / "code", cache=again) == before
    stored = (tmp_path / "cache.json").read_text().replace(sha(b"1"), "f" * 64)
    (tmp_path / "cache.json").write_text(stored)
    assert trees.scan(tmp_path / "code", cache=LaterCache(tmp_path / "cache.json")).tree.entries[0].digest == "f" * 64
    (tmp_path / "code" / "a").write_text("now longer")
    changed = trees.scan(tmp_path / "code", cache=LaterCache(tmp_path / "cache.json"))
    assert changed.tree.entries[0].digest == sha(b"now longer")


def test_a_file_written_a_moment_ago_is_always_read(tmp_path: Path) -> None:
    write(tmp_path, code__a="1", code__b="2")
    long_ago = time.time() - 100
    os.utime(tmp_path / "code" / "b", (long_ago, long_ago))
    cache = StatCache(tmp_path / "cache.json")
    trees.scan(tmp_path / "code", cache=cache)
    cache.save()
    again = StatCache(tmp_path / "cache.json")
    assert again.get(str(tmp_path / "code" / "a"), (tmp_path / "code" / "a").stat()) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "files": {"a": [1]}}', "\x00"])
def test_a_damaged_cache_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache.json").write_text(text)
    write(tmp_path, code__a="1")
    assert trees.scan(tmp_path / "code", cache=StatCache(tmp_path / "cache.json")).total_bytes == 1


def test_materialise_writes_what_was_scanned(tmp_path: Path) -> None:
    write(tmp_path, code__a="1", code__deep__er__b="1", code__run="go")
    (tmp_path / "code" / "run").chmod(0o755)
    scan = trees.scan(tmp_path / "code")
    asked = []

    def fetch(digests):
        asked.extend(digests)
        for digest in digests:
            data = Path(scan.files[digest]).read_bytes()
            yield digest, len(data), iter([data])

    assert trees.materialise(scan.tree, tmp_path / "copy", fetch) == 4
    assert len(asked) == 2
    assert trees.scan(tmp_path / "copy").tree == scan.tree
    assert trees.materialise(trees.EMPTY, tmp_path / "none", fetch) == 0


def test_materialise_never_writes_through_a_link(tmp_path: Path) -> None:
    write(tmp_path, elsewhere__x="1")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "d").symlink_to(tmp_path / "elsewhere")
    entry = TreeEntry(path="d/y", digest=sha(b"1"), size=1)
    with pytest.raises(Invalid) as raised:
        trees.materialise(Tree(entries=(entry,)), tmp_path / "copy", lambda ds: [(d, 1, iter([b"1"])) for d in ds])
    assert raised.value.code == "LinkLeavesFolder"
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == ["x"]


@pytest.mark.parametrize(
    ("delivered", "code"),
    [([(sha(b"1"), 1, iter([b"2"]))], "ContentMismatch"), ([], "ContentMissing")],
)
def test_materialise_leaves_no_half_file(tmp_path: Path, delivered, code: str) -> None:
    entry = TreeEntry(path="y", digest=sha(b"1"), size=1)
    with pytest.raises(Broken) as raised:
        trees.materialise(Tree(entries=(entry,)), tmp_path / "copy", lambda _: delivered)
    assert raised.value.code == code
    assert list((tmp_path / "copy").iterdir()) == []
