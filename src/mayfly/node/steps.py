"""The persisted steps of an attempt on a node, named as data so that fault tests can stop at each of them.

A step is *passed* when what it promises is on the disk. A restarted agent goes on from the last one it finds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

STEPS: tuple[str, ...] = (
    "assigned",
    "materialised",
    "ready",
    "go",
    "launched",
    "started",
    "stopping",
    "exited",
    "logs-acknowledged",
    "journal-acknowledged",
    "collected",
    "discarding",
    "released",
)
"""The agent's, in order; `stopping` only when a stop was received."""

JOURNAL_STEP = "journalled"
"""Passed with each tracking call of a job that the agent has kept and not yet answered."""

DATA_STEPS: tuple[str, ...] = (
    "listed",
    "input-chunk",
    "input-cached",
    "mounted",
    "restored",
    "checkpoint-sent",
    "checkpointed",
    "published",
)
"""The agent's, of attempts with inputs that lie elsewhere, checkpoints, or outputs that belong outside."""

SUPERVISOR_STEPS: tuple[str, ...] = ("supervising", "spawned", "reaped", "recorded")
"""A supervisor's; `node/supervisor.py` names them itself because it imports nothing of ours."""


def passing(step: str, environment: Mapping[str, str] = os.environ) -> None:
    """Call when `step` has been passed. A fault test may ask for death here: with MAYFLY_KILL_AT=<step>, the process
    kills itself, once if MAYFLY_KILL_ONCE names a file that can be created as the marker."""
    if environment.get("MAYFLY_KILL_AT") != step:
        return
    marker = environment.get("MAYFLY_KILL_ONCE", "")
    if marker:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
