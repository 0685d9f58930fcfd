"""The port to the bytes of logs on the server's side."""

from __future__ import annotations

from typing import Protocol


class LogStore(Protocol):
    """Bytes of log files by (job, attempt, rank, file). `append` is repeatable: bytes below the present size are
    skipped, a gap is refused by leaving the size as it is. What was appended survives the death of any process, and
    power loss once `seal` has returned. Safe for many threads; one writer a file at a time."""

    def append(self, job: str, attempt: int, rank: int, file: str, offset: int, data: bytes) -> int:
        """The size after it."""
        ...

    def size(self, job: str, attempt: int, rank: int, file: str) -> int: ...

    def read(self, job: str, attempt: int, rank: int, file: str, offset: int, most: int) -> bytes: ...

    def files(self, job: str, attempt: int) -> list[tuple[int, str]]:
        """(rank, file) of everything there is, sorted."""
        ...

    def seal(self, job: str, attempt: int, rank: int, file: str) -> None: ...

    def remove(self, job: str) -> int:
        """Remove every log of a job; the bytes that were freed. Repeatable."""
        ...
