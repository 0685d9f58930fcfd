"""What tests draw at random comes from one seed, which they print: MAYFLY_SEED=<seed> draws the same again, MAYFLY_ALL=1
all that there is."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterable
from typing import TypeVar

Drawn = TypeVar("Drawn")

VARIABLE = "MAYFLY_SEED"
ALL = os.environ.get("MAYFLY_ALL") == "1"


def seed() -> int:
    """That of this run, its processes included."""
    return int(os.environ.setdefault(VARIABLE, str(secrets.randbelow(1 << 32))))


def chance(what: str) -> random.Random:
    """For one purpose, so that no other draws from it."""
    return random.Random(f"{seed()} {what}")


def drawn(what: str, every: Iterable[Drawn], count: int = 1) -> list[Drawn]:
    """So many of these, or all of them when everything is to be tried (`scripts/soak world`)."""
    found = list(every)
    return found if ALL else chance(what).sample(found, min(count, len(found)))
