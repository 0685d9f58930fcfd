"""Storage of every kind behind one port: whose it is, is told by the scheme of the address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mayfly.drivers.storage_folder import FolderStorage
from mayfly.drivers.storage_http import HttpStorage
from mayfly.drivers.storage_objects import ObjectStorage
from mayfly.kit.errors import Invalid
from mayfly.ports.storage import Entry, Place, Storage


class AnyStorage:
    """Implements `ports.storage.Storage`."""

    def __init__(self) -> None:
        objects, web = ObjectStorage(), HttpStorage()
        self.close = web.close
        self._of: dict[str, Storage] = {
            "file": FolderStorage(),
            "http": web,
            "https": web,
            "s3": objects,
            "gs": objects,
            "az": objects,
        }

    def is_file(self, place: Place) -> bool:
        return self._for(place).is_file(place)

    def list(self, place: Place) -> Iterator[Entry]:
        return self._for(place).list(place)

    def read(
        self, place: Place, path: str, offset: int = 0, length: int | None = None, version: str = ""
    ) -> Iterator[bytes]:
        return self._for(place).read(place, path, offset, length, version)

    def write(self, place: Place, path: str, chunks: Iterable[bytes]) -> None:
        self._for(place).write(place, path, chunks)

    def remove(self, place: Place) -> None:
        self._for(place).remove(place)

    def _for(self, place: Place) -> Storage:
        scheme = place.address.partition("://")[0]
        if scheme not in self._of:
            raise Invalid("AddressInvalid", f"'{scheme}://' is no storage that is read here.")
        return self._of[scheme]
