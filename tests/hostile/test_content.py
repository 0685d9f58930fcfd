"""Content that is asked for as what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.kit.errors import Invalid, NotFound
from mayfly.kit.ids import Digest
from mayfly.services import content
from mayfly.testing.world import scene

ZEROS = Digest("9c7a5f3d6d5e0a3f9f4b9b8e3dd8c0f2d6e1a7c4b5f60718293a4b5c6d7e8f90")


def test_a_large_file_is_not_read_as_a_file_list(tmp_path: Path, database_url: str) -> None:
    found = scene(tmp_path, database_url)
    place = tmp_path / "content" / ZEROS[:2] / ZEROS[2:]
    place.parent.mkdir(parents=True)
    with place.open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(Invalid) as refused:
        content.get_tree(found.world, ZEROS)
    assert refused.value.code == "TreeInvalid"
    found.world.store.close()


@pytest.mark.parametrize("digest", ["../../secret", "..", "A" * 64, "0" * 63 + "/", "\u0660" * 64])
def test_addresses_stay_in_their_folder(tmp_path: Path, database_url: str, digest: str) -> None:
    found = scene(tmp_path, database_url)
    with pytest.raises((Invalid, NotFound)):
        content.get_tree(found.world, digest)
    found.world.store.close()
