"""What every content store must do, as a class to inherit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid, NotFound
from mayfly.kit.ids import Digest
from mayfly.ports.content import ContentStore

MIB = 1 << 20


def digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


class ContentContract:
    """Inherit it and give fixtures: `content`, an empty store; `leftovers`, which names every file or object in the
    store that is not a whole content."""

    def test_what_was_put_is_there(self, content: ContentStore) -> None:
        for data in (b"", b"x", b"hello" * 1000):
            assert content.missing([digest(data)]) == [digest(data)]
            assert content.put(digest(data), [data[:3], data[3:]]) == len(data)
            assert content.missing([digest(data)]) == []
            assert b"".join(content.open(digest(data))) == data
            assert content.size(digest(data)) == len(data)

    def test_bytes_may_come_before_their_name(self, content: ContentStore, leftovers: Callable[[], list[str]]) -> None:
        for data in (b"", b"hello" * 1000):
            incoming = content.begin()
            incoming.write(data[:7])
            incoming.write(data[7:])
            assert content.missing([digest(data)]) == [digest(data)]
            assert incoming.keep() == (digest(data), len(data))
            incoming.drop()
            assert b"".join(content.open(digest(data))) == data
        lost = content.begin()
        lost.write(b"gone")
        lost.drop()
        assert content.missing([digest(b"gone")]) == [digest(b"gone")] and leftovers() == []

    def test_a_part_is_read(self, content: ContentStore) -> None:
        data = bytes(range(256)) * (2 * MIB // 256)
        content.put(digest(data), [data])
        for offset, length in ((0, 0), (5, 10), (MIB - 1, MIB + 1), (2 * MIB - 3, 9), (7, None)):
            end = None if length is None else offset + length
            assert b"".join(content.open(digest(data), offset, length)) == data[offset:end]

    def test_large_contents_come_in_small_chunks(self, content: ContentStore) -> None:
        data = bytes(range(256)) * (3 * MIB // 256) + b"end"
        content.put(digest(data), [data])
        chunks = list(content.open(digest(data)))
        assert all(0 < len(chunk) <= MIB for chunk in chunks)
        assert b"".join(chunks) == data

    def test_missing_names_what_is_missing_in_order(self, content: ContentStore) -> None:
        content.put(digest(b"here"), [b"here"])
        asked = [digest(b"b"), digest(b"here"), digest(b"a")]
        assert content.missing(asked) == [digest(b"b"), digest(b"a")]

    def test_other_bytes_than_named_are_refused_and_not_kept(
        self, content: ContentStore, leftovers: Callable[[], list[str]]
    ) -> None:
        with pytest.raises(Invalid) as caught:
            content.put(digest(b"right"), [b"wrong"])
        assert caught.value.code == "ContentMismatch"
        assert content.missing([digest(b"right"), digest(b"wrong")]) == [digest(b"right"), digest(b"wrong")]
        assert leftovers() == []

    def test_an_upload_that_breaks_off_leaves_nothing(
        self, content: ContentStore, leftovers: Callable[[], list[str]]
    ) -> None:
        def broken() -> Iterator[bytes]:
            yield b"ri"
            raise ConnectionError("the client went away")

        with pytest.raises(ConnectionError):
            content.put(digest(b"right"), broken())
        assert content.missing([digest(b"right")]) == [digest(b"right")]
        assert leftovers() == []

    def test_putting_twice_is_harmless(self, content: ContentStore) -> None:
        content.put(digest(b"same"), [b"same"])
        reading = content.open(digest(b"same"))
        content.put(digest(b"same"), [b"sa", b"me"])
        assert b"".join(reading) == b"same"
        assert b"".join(content.open(digest(b"same"))) == b"same"
        with pytest.raises(Invalid):
            content.put(digest(b"same"), [b"other"])
        assert b"".join(content.open(digest(b"same"))) == b"same"

    def test_small_ones_are_put_together(self, content: ContentStore, leftovers: Callable[[], list[str]]) -> None:
        several = [b"", b"one", b"two", b"one"]
        content.put(digest(b"two"), [b"two"])
        content.put_small((digest(data), data) for data in several)
        assert all(b"".join(content.open(digest(data))) == data for data in several)
        with pytest.raises(Invalid) as caught:
            content.put_small([(digest(b"before"), b"before"), (digest(b"right"), b"wrong"), (digest(b"x"), b"x")])
        assert caught.value.code == "ContentMismatch"
        assert content.missing([digest(b"before"), digest(b"right"), digest(b"x")]) == [digest(b"right"), digest(b"x")]
        assert leftovers() == []

    def test_unknown_contents_are_not_found(self, content: ContentStore) -> None:
        for ask in (content.open, content.size):
            with pytest.raises(NotFound) as caught:
                ask(digest(b"never"))
            assert caught.value.code == "ContentNotFound"

    def test_only_digests_are_names(self, content: ContentStore) -> None:
        for name in ("", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63, "0" * 62 + "/a"):
            with pytest.raises(Invalid):
                content.open(Digest(name))
            with pytest.raises(Invalid):
                content.put(Digest(name), [b""])

    def test_many_threads_may_put_the_same(self, content: ContentStore) -> None:
        data = [bytes([number]) * 1000 for number in range(4)] * 4
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda one: content.put(digest(one), [one]), data)) == [1000] * 16
        assert all(b"".join(content.open(digest(one))) == one for one in data)

    def test_what_was_asked_for_lately_is_not_removed(self, content: ContentStore) -> None:
        for data in (b"old", b"asked for"):
            content.put(digest(data), [data])
        ((_, size, touched), *_) = [one for one in content.list() if one[0] == digest(b"old")]
        assert size == 3 and content.has(digest(b"old")) and not content.has(digest(b"none"))
        assert not content.remove(digest(b"old"), touched)
        assert content.remove(digest(b"old"), Millis(touched + 1))
        assert not content.remove(digest(b"old"), Millis(touched + 1)), "it is gone already"
        assert [one[0] for one in content.list()] == [digest(b"asked for")]
