"""The port to whatever turns package wishes into a lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Interpreter:
    path: str
    """The real interpreter, never a shim."""
    version: str
    """'3.11.7'."""


class PackageResolver(Protocol):
    """`resolve` may take minutes and be killed at any time; it changes nothing but a cache of its own."""

    def interpreters(self) -> Sequence[Interpreter]:
        """What this machine has, best first: the server's own, then others found."""
        ...

    def resolve(
        self,
        requirements: Sequence[str],
        interpreter: Interpreter,
        say: Callable[[str], None],
        cancelled: threading.Event | None = None,
        *,
        fresh: bool = False,
    ) -> str:
        """The lock: pinned requirements with hashes, pip among them, no download addresses. `say` gets the resolver's
        own lines as they come. `fresh`: ask the index anew, whatever is remembered of it. Raises Broken `EnvironmentUnsatisfiable` with the resolver's words,
        `PackageIndexUnreachable` when it could not ask, `EnvironmentResolveTimeout`; Unavailable
        `EnvironmentResolveCancelled` soon after `cancelled` is set."""
        ...
