"""What the server could not keep a moment ago, and why, for those whose jobs wait for it. In memory: whoever was refused asks
again, so a trouble that lasts is told anew."""

from __future__ import annotations

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Unavailable

_CODES = frozenset({"DiskFull", "DiskReadOnly", "StoreUnavailable"})
_LASTS = 30_000
"""Longer than what was refused waits before it is sent again, in milliseconds."""


class Troubles:
    def __init__(self) -> None:
        self._last: tuple[Millis, str] | None = None

    def tell(self, error: Unavailable, now: Millis) -> None:
        if error.code in _CODES:
            self._last = now, f"{error.message} {error.remedy or ''}".rstrip()

    def sentence(self, now: Millis) -> str:
        """Empty when all that came lately was kept; what was told since `now` counts too."""
        if self._last is None or abs(now - self._last[0]) > _LASTS:
            return ""
        return f"What is left to keep waits: {self._last[1]}"
