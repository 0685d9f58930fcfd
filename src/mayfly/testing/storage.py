"""The contract of `ports.storage.Storage`, for every driver that can be written; inherit it and give the fixtures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mayfly.kit.errors import Conflict, MayflyError, NotFound
from mayfly.ports.storage import Place, Storage

MIB = 1 << 20
FILES = {
    "a.csv": b"1,2\n",
    "deep/er/b.bin": bytes(range(256)) * 5,
    "deep/with space/ü é.txt": "Straße".encode(),
    "empty": b"",
    "per%20cent+plus#.txt": b"odd",
}


class StorageContract:
    """Give `storage`, and `place`: an empty folder of it that may be written."""

    @pytest.fixture
    def filled(self, storage: Storage, place: Place) -> Place:
        for path, data in FILES.items():
            storage.write(place, path, [data])
        return place

    def test_a_folder_lists_every_file_by_path(self, storage: Storage, filled: Place) -> None:
        assert not storage.is_file(filled)
        found = list(storage.list(filled))
        assert [(entry.path, entry.size) for entry in found] == sorted((p, len(d)) for p, d in FILES.items())
        assert all(entry.version for entry in found)
        assert [entry.path for entry in storage.list(_below(filled, "deep"))] == ["er/b.bin", "with space/ü é.txt"]

    def test_every_file_reads_back(self, storage: Storage, filled: Place) -> None:
        for entry in storage.list(filled):
            assert b"".join(storage.read(filled, entry.path, version=entry.version)) == FILES[entry.path]

    def test_a_file_is_a_place_of_its_own(self, storage: Storage, filled: Place) -> None:
        one = _below(filled, "deep/er/b.bin")
        assert storage.is_file(one)
        (entry,) = storage.list(one)
        assert (entry.path, entry.size) == ("b.bin", 1280)
        for path in ("b.bin", ""):
            assert b"".join(storage.read(one, path, version=entry.version)) == FILES["deep/er/b.bin"]

    @pytest.mark.parametrize(("offset", "length"), [(0, 10), (7, 300), (1270, 100), (1280, 5), (5, None), (0, 0)])
    def test_ranges(self, storage: Storage, filled: Place, offset: int, length: int | None) -> None:
        whole = FILES["deep/er/b.bin"]
        wanted = whole[offset:] if length is None else whole[offset : offset + length]
        assert b"".join(storage.read(filled, "deep/er/b.bin", offset, length)) == wanted

    def test_large_files_come_whole(self, storage: Storage, place: Place) -> None:
        data = bytes(range(251)) * (12 * MIB // 251)
        storage.write(place, "large", (data[at : at + MIB] for at in range(0, len(data), MIB)))
        assert b"".join(storage.read(place, "large")) == data
        assert b"".join(storage.read(place, "large", 5 * MIB + 3, 2 * MIB)) == data[5 * MIB + 3 : 7 * MIB + 3]

    def test_a_changed_file_is_not_mixed_up(self, storage: Storage, filled: Place) -> None:
        before = next(entry for entry in storage.list(filled) if entry.path == "a.csv")
        storage.write(filled, "a.csv", [b"other bytes"])
        with pytest.raises(Conflict) as caught:
            list(storage.read(filled, "a.csv", version=before.version))
        assert caught.value.code == "DataChanged"
        assert b"".join(storage.read(filled, "a.csv")) == b"other bytes"

    def test_a_write_that_breaks_off_leaves_what_was(self, storage: Storage, filled: Place) -> None:
        def broken():
            yield b"half"
            raise ValueError("the source went away")

        with pytest.raises((ValueError, MayflyError)):
            storage.write(filled, "a.csv", broken())
        assert b"".join(storage.read(filled, "a.csv")) == FILES["a.csv"]
        assert [entry.path for entry in storage.list(filled)] == sorted(FILES)

    def test_a_file_may_be_written_at_the_place_itself(self, storage: Storage, place: Place) -> None:
        one = _below(place, "exactly/here.txt")
        storage.write(one, "", [b"x"])
        assert storage.is_file(one)
        assert b"".join(storage.read(one, "here.txt")) == b"x"

    def test_what_is_not_there_is_not_found(self, storage: Storage, filled: Place) -> None:
        nowhere = _below(filled, "no/such")
        for ask in (
            lambda: storage.is_file(nowhere),
            lambda: list(storage.list(nowhere)),
            lambda: list(storage.read(filled, "no/such")),
        ):
            with pytest.raises(NotFound) as caught:
                ask()
            assert caught.value.code == "DataNotFound"

    def test_a_name_that_only_begins_alike_is_another(self, storage: Storage, filled: Place) -> None:
        with pytest.raises(NotFound):
            storage.is_file(_below(filled, "dee"))

    def test_removing(self, storage: Storage, filled: Place) -> None:
        storage.remove(_below(filled, "deep"))
        storage.remove(_below(filled, "a.csv"))
        storage.remove(_below(filled, "never/there"))
        assert [entry.path for entry in storage.list(filled)] == ["empty", "per%20cent+plus#.txt"]


def _below(place: Place, path: str) -> Place:
    return replace(place, address=f"{place.address}/{path}")
