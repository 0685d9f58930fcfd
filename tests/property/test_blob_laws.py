"""Names of blobs never lead out of their datastore, and lists lose nothing between their pages."""

from __future__ import annotations

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from mayfly.domain.blobs import byte_range, check_name, file_path
from mayfly.kit.errors import Invalid
from mayfly.transfer import trees
from mayfly.wire.agent import Tree, TreeEntry

parts = st.sampled_from(["", ".", "..", "a", "b c", "%2e", "..a", "\\", "\x00", "é", "C:"])
names = st.one_of(st.text(max_size=40), st.lists(parts, max_size=6).map("/".join))


@given(names)
def test_a_name_that_is_taken_stays_below_its_folder(name: str) -> None:
    try:
        check_name(name)
    except Invalid:
        return
    path = file_path(name)
    if path:
        assert posixpath.normpath(f"/store/{path}") == f"/store/{path}"
        trees.check(Tree(entries=(TreeEntry(path=path, digest="0" * 64, size=0),)))


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_lies_in_the_blob(size: int, first: int, last: int) -> None:
    try:
        found = byte_range(f"bytes={first}-{last}", size)
    except Invalid:
        assert first >= size
        return
    if found is None:
        assert last < first
    else:
        assert list(range(size))[found[0] : found[1]] == [one for one in range(size) if first <= one <= last]
