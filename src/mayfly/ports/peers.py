"""The port to the other servers of the same state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Peer:
    id: str
    url: str
    host: str
    boot: str
    """Which machine it runs on, and since which start of it; '' where that cannot be told."""


class Peers(Protocol):
    @property
    def me(self) -> str:
        """This server's id."""
        ...

    def others(self) -> Sequence[Peer]:
        """Those that live and have said where they are found."""
        ...

    def dead(self) -> Sequence[str]:
        """Ids of those that have died; told until they are buried."""
        ...

    def bury(self, server: str) -> None:
        """What it left is cleared. May be repeated."""
        ...

    def leave(self) -> bool:
        """This one is no longer found; whether others are. May be repeated."""
        ...


class Alone:
    """Implements `Peers` where there is nobody else."""

    me = "alone"

    def others(self) -> Sequence[Peer]:
        return ()

    def dead(self) -> Sequence[str]:
        return ()

    def bury(self, server: str) -> None:
        pass

    def leave(self) -> bool:
        return False
