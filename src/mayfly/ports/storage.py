"""The port of storage outside Mayfly: files at addresses, as the server reaches them for jobs and people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder somewhere else."""

    address: str
    """`https://…`, `http://…`, `s3://bucket/…`, `gs://bucket/…`, `az://account/container/…`, or `file:///…`; without a
    '/' at its end."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """As the storage's own clients name them; never shown, never logged."""


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    """Below the place, '/'-separated; its own name where the place is a single file."""
    size: int
    version: str
    """Changes with the bytes: an ETag, or size and time."""


class Storage(Protocol):
    """Safe for many threads. Raises NotFound `DataNotFound`, Forbidden `DataForbidden` (a missing or wrong key),
    Unavailable `StorageUnreachable`, Invalid `AddressInvalid`. Each message names the address, none a credential."""

    def is_file(self, place: Place) -> bool:
        """Whether a single file lies there (rather than a folder)."""
        ...

    def list(self, place: Place) -> Iterator[Entry]:
        """Every file below the place, sorted by path; the place itself where it is a file."""
        ...

    def read(
        self, place: Place, path: str, offset: int = 0, length: int | None = None, version: str = ""
    ) -> Iterator[bytes]:
        """The bytes of one entry, in chunks. A connection that breaks is taken up again where it broke. Raises Conflict
        `DataChanged` when it is not `version` any more."""
        ...

    def write(self, place: Place, path: str, chunks: Iterable[bytes]) -> None:
        """Put a file below the place (at it, where `path` is ''): whole or not at all. An existing one is replaced."""
        ...

    def remove(self, place: Place) -> None:
        """Remove what lies there; nothing there is no error."""
        ...
