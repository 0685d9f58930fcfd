"""What the command line's tests share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mayfly.kit.clock import Millis


class WallClock:
    def now(self) -> Millis:
        return Millis(time.time_ns() // 1_000_000)


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


Mayfly = Callable[..., Done]
