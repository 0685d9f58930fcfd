"""What tests draw at random comes from one seed, which they print: MAYFLY_SEED=<seed> draws the same again."""

from __future__ import annotations

import os
import random
import secrets

VARIABLE = "MAYFLY_SEED"


def seed() -> int:
    """That of this run, its processes included."""
    return int(os.environ.setdefault(VARIABLE, str(secrets.randbelow(1 << 32))))


def chance(what: str) -> random.Random:
    """For one purpose, so that no other draws from it."""
    return random.Random(f"{seed()} {what}")
