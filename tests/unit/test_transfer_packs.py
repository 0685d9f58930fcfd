import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.transfer import packs


def item(data: bytes) -> tuple[Digest, int, list[bytes]]:
    return Digest(hashlib.sha256(data).hexdigest()), len(data), [data[:3], data[3:]]


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    before = 0
    for place in sorted({min(p, len(data)) for p in places}):
        yield data[before:place]
        before = place
    yield data[before:]


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 600), max_size=20))
def test_what_is_packed_comes_back_however_it_is_cut(blobs: list[bytes], places: list[int]) -> None:
    body = b"".join(packs.write(item(blob) for blob in blobs))
    got = [(digest, size, b"".join(chunks)) for digest, size, chunks in packs.read(cut(body, places))]
    assert got == [(hashlib.sha256(blob).hexdigest(), len(blob), blob) for blob in blobs]


def test_what_is_not_read_is_passed_over() -> None:
    body = b"".join(packs.write([item(b"abcdef"), item(b"ghi")]))
    assert [size for _, size, _ in packs.read([body])] == [6, 3]


@given(st.binary(min_size=1, max_size=30), st.data())
def test_a_pack_that_is_cut_off_is_refused(blob: bytes, data: st.DataObject) -> None:
    body = b"".join(packs.write([item(blob)]))
    cut_at = data.draw(st.integers(1, len(body) - 1))
    with pytest.raises(Invalid) as raised:
        for _ in packs.read([body[:cut_at]]):
            pass
    assert raised.value.code == "PackInvalid"


@pytest.mark.parametrize("head", [b"A" * 64, b"../" + b"a" * 61, b"\xff" * 64])
def test_a_digest_that_is_none_is_refused(head: bytes) -> None:
    with pytest.raises(Invalid):
        list(packs.read([head + bytes(8)]))


@pytest.mark.parametrize("chunks", [[b"a"], [b"abc"], []])
def test_an_item_that_changed_its_size_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(Invalid) as raised:
        list(packs.write([(Digest("a" * 64), 2, chunks)]))
    assert raised.value.code == "PackInvalid"


def test_a_great_blob_passes_in_small_chunks() -> None:
    def source() -> Iterator[bytes]:
        yield b"a" * 64 + (5 << 20).to_bytes(8, "big")
        yield bytes(5 << 20)

    ((_, size, chunks),) = ((d, s, list(c)) for d, s, c in packs.read(source()))
    assert size == 5 << 20
    assert max(map(len, chunks)) <= 1 << 20
