"""Content in and out: only what was promised is kept, and what is missing is told before the first byte."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest

from mayfly.kit.ids import Digest
from mayfly.testing.serving import WS, House
from mayfly.transfer import packs, trees
from mayfly.wire.agent import Tree, TreeEntry

DOORS = [("user", f"{WS}/content"), ("node", "/agent/v1/content")]


@pytest.fixture(params=DOORS, ids=["people", "agents"])
def door(request: pytest.FixtureRequest, house: House):
    kind, path = request.param
    with house.client(kind, "somebody", base_url=house.url + path) as client:
        yield client


def digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def pack(*items: tuple[bytes, bytes]) -> bytes:
    """Of (bytes that name it, bytes that are sent)."""
    return b"".join(packs.write((digest(name), len(data), [data]) for name, data in items))


def missing(door: httpx.Client, *names: bytes) -> list[str]:
    return door.post("missing", json={"digests": [digest(name) for name in names]}).json()["missing"]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def tree(*paths: str, data: bytes = b"x") -> bytes:
    return json.dumps({"entries": [{"path": p, "digest": digest(data), "size": len(data)} for p in paths]}).encode()


def test_a_pack_comes_back_as_it_went(door: httpx.Client) -> None:
    large = bytes(range(256)) * 10_000
    assert missing(door, b"a", large, b"") == [digest(b"a"), digest(large), digest(b"")]
    assert door.post("blobs", content=pack((b"a", b"a"), (large, large), (b"", b""))).json() == {"stored": 3}
    assert missing(door, b"a", large, b"") == []
    answer = door.post("fetch", json={"digests": [digest(large), digest(b"a")]})
    assert answer.headers["content-type"] == packs.MEDIA_TYPE
    found = {name: b"".join(blob) for name, _, blob in packs.read([answer.content])}
    assert found == {digest(large): large, digest(b"a"): b"a"}


def test_a_blob_that_is_not_what_it_says_is_refused(door: httpx.Client) -> None:
    answer = door.post("blobs", content=pack((b"good", b"good"), (b"right", b"wrong"), (b"after", b"after")))
    assert code(answer) == (400, "ContentMismatch")
    assert missing(door, b"good", b"right") == [digest(b"right")]


@pytest.mark.parametrize("cut", [10, 70, 75])
def test_a_pack_that_is_cut_off_is_refused(door: httpx.Client, cut: int) -> None:
    assert code(door.post("blobs", content=pack((b"a" * 20, b"a" * 20))[:cut])) == (400, "PackInvalid")
    assert missing(door, b"a" * 20) == [digest(b"a" * 20)]


def test_unknown_content_is_not_found_before_the_first_byte(door: httpx.Client) -> None:
    door.post("blobs", content=pack((b"a", b"a")))
    assert code(door.post("fetch", json={"digests": [digest(b"a"), digest(b"never")]})) == (404, "ContentNotFound")
    assert code(door.get(f"trees/{digest(b'never')}")) == (404, "ContentNotFound")


@pytest.mark.parametrize("bad", ["../../etc/passwd", "A" * 64, "x", ""])
def test_names_that_are_no_digests_are_refused(door: httpx.Client, bad: str) -> None:
    assert code(door.post("missing", json={"digests": [bad]}))[0] == 400
    assert code(door.post("fetch", json={"digests": [bad]}))[0] == 400


@pytest.mark.parametrize(
    "paths", [("../up",), ("/etc/passwd",), ("a/../../up",), ("a//b",), ("b", "a"), ("a", "a"), ("a", "a/b"), ("a\\b",)]
)
def test_a_tree_that_leaves_its_folder_is_refused(door: httpx.Client, paths: tuple[str, ...]) -> None:
    door.post("blobs", content=pack((b"x", b"x")))
    body = tree(*paths)
    assert code(door.put(f"trees/{digest(body)}", content=body)) == (400, "TreeInvalid")


def test_a_tree_is_kept_when_all_of_it_is_there(door: httpx.Client) -> None:
    whole = Tree(entries=(TreeEntry(path="a/b.txt", digest=digest(b"x"), size=1),))
    name, body = trees.digest_of(whole), trees.canonical(whole)
    assert code(door.put(f"trees/{name}", content=body)) == (400, "BlobsMissing")
    door.post("blobs", content=pack((b"x", b"x")))
    assert code(door.put(f"trees/{'0' * 64}", content=body)) == (400, "ContentMismatch")
    for _ in range(2):
        assert door.put(f"trees/{name}", content=body).json() == {"stored": 1}
    assert trees.decode(door.get(f"trees/{name}").content) == whole


def test_a_blob_is_no_tree(door: httpx.Client) -> None:
    door.post("blobs", content=pack((b"x", b"x")))
    assert code(door.get(f"trees/{digest(b'x')}")) == (400, "TreeInvalid")
