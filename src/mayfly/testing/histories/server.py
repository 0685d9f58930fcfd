"""What a history asks of a server, whichever way its rows are kept; and how a server dies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from mayfly.domain.job import Job
from mayfly.domain.node import Node
from mayfly.testing.histories.moves import Shape
from mayfly.testing.histories.node import Wishes
from mayfly.wire import agent as wire


class Died(BaseException):
    """The server's process ended in the middle of what it did."""


class Mortal:
    """Ends a server at one of its next units of work: before its commit, so that nothing of it is kept, or after."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._after = False

    def will_die(self, units: int, *, after: bool) -> None:
        self._left, self._after = units, after

    def lives(self) -> None:
        self._left = None

    @contextmanager
    def unit(self) -> Iterator[None]:
        dies = self._left == 0
        if self._left is not None:
            self._left -= 1
        if dies and not self._after:
            raise Died
        try:
            yield
        finally:
            if dies:
                raise Died


class Server(ABC):
    """Each call may raise `Died`; what it had committed until then is kept, and `start` begins anew with that."""

    mortal: Mortal

    @abstractmethod
    def start(self) -> None: ...
    @abstractmethod
    def submit(self, name: str, shape: Shape) -> None: ...
    @abstractmethod
    def cancel(self, name: str) -> None: ...
    @abstractmethod
    def schedule(self) -> None: ...
    @abstractmethod
    def tend(self) -> None: ...
    @abstractmethod
    def watch(self) -> None: ...
    @abstractmethod
    def greet(self, name: str, fences: list[wire.Fence]) -> None: ...
    @abstractmethod
    def wishes(self, name: str) -> Wishes: ...
    @abstractmethod
    def report(self, name: str, reports: tuple[wire.AnyReport, ...]) -> Wishes: ...
    @abstractmethod
    def log(self, name: str, fence: wire.Fence, rank: int, offset: int, data: bytes) -> int: ...

    @abstractmethod
    def job(self, name: str) -> Job | None: ...
    @abstractmethod
    def log_of(self, name: str, attempt: int, rank: int) -> bytes: ...
    @abstractmethod
    def nodes(self) -> dict[str, Node]:
        """Those that are not known to be gone."""

    @abstractmethod
    def problems(self) -> list[str]:
        """Laws of its own rows that do not hold."""

    @abstractmethod
    def holds_nothing(self) -> bool:
        """Whether no ledger holds anything."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more is asked of it."""
