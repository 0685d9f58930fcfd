"""An MLTable made into files for the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mayfly.kit.errors import Invalid


def evaluate(name: str, table: Path, target: Path, remote: Callable[[str, int], Path]) -> None:
    """Raises Invalid `EvaluationUnsupported`: not built yet."""
    raise Invalid(
        "EvaluationUnsupported",
        f"Input '{name}': the modes eval_mount and eval_download are not built yet.",
        remedy="Use mode ro_mount, and read the folder with the mltable package in the job.",
    )
