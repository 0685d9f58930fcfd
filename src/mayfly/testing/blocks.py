"""What every store of blocks must do, as a class to inherit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mayfly.kit.clock import Millis
from mayfly.kit.errors import NotFound
from mayfly.ports.blocks import BlockStore


def put(blocks: BlockStore, owner: str, name: bytes, data: bytes) -> None:
    incoming = blocks.begin(owner, name)
    incoming.write(data[:3])
    incoming.write(data[3:])
    assert incoming.keep() == len(data)
    incoming.drop()


class BlockContract:
    """Inherit it and give fixtures: `blocks`, an empty store; `leftovers`, which names every file or object in the
    store that is not a whole block."""

    def test_what_was_kept_is_there_by_owner_and_name(self, blocks: BlockStore) -> None:
        for owner in ("ann", "ann\n../bob/é"):
            for name, data in ((b"1", b""), (b"\x00/..", b"hello"), (b"x" * 64, b"y" * (3 << 20))):
                put(blocks, owner, name, data)
                chunks = list(blocks.open(owner, name))
                assert b"".join(chunks) == data and all(len(chunk) <= 1 << 20 for chunk in chunks)
        assert blocks.sizes("ann") == {b"1": 0, b"\x00/..": 5, b"x" * 64: 3 << 20}
        blocks.clear("ann")
        assert blocks.sizes("ann") == {} and len(blocks.sizes("ann\n../bob/é")) == 3
        with pytest.raises(NotFound) as caught:
            blocks.open("ann", b"1")
        assert caught.value.code == "BlockNotFound"
        blocks.clear("ann")

    def test_the_newest_of_a_name_is_kept(self, blocks: BlockStore) -> None:
        put(blocks, "ann", b"1", b"old one")
        put(blocks, "ann", b"1", b"new")
        assert b"".join(blocks.open("ann", b"1")) == b"new"

    def test_one_that_breaks_off_leaves_nothing(self, blocks: BlockStore, leftovers: Callable[[], list[str]]) -> None:
        incoming = blocks.begin("ann", b"1")
        incoming.write(b"half")
        assert blocks.sizes("ann") == {}
        incoming.drop()
        assert blocks.sizes("ann") == {} and leftovers() == []

    def test_those_that_wait_for_long_are_forgotten(self, blocks: BlockStore) -> None:
        put(blocks, "ann", b"1", b"hello")
        assert blocks.prune(Millis(0), dry_run=False) == 0
        assert blocks.prune(Millis(1 << 45), dry_run=True) == 5 and blocks.sizes("ann") == {b"1": 5}
        assert blocks.prune(Millis(1 << 45), dry_run=False) == 5 and blocks.sizes("ann") == {}
