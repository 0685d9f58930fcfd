"""An MLTable made into files for the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def evaluate(name: str, table: Path, target: Path, remote: Callable[[str, int], Path]) -> None:
    raise NotImplementedError
