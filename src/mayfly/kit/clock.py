"""Time as the rest of the house sees it: whole milliseconds since 1970 UTC, handed in, never asked for below `main`."""

from typing import NewType, Protocol

Millis = NewType("Millis", int)
"""Milliseconds since 1970-01-01 UTC, or a length of time in milliseconds."""


class Clock(Protocol):
    def now(self) -> Millis:
        """The present moment. Never goes backwards within one process, even when the wall clock is set back:
        it is the wall clock at the process's start plus monotonic time since."""
        ...
