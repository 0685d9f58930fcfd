"""The persisted steps of an attempt on a node, named as data so that fault tests can stop at each of them.

A step is *passed* when what it promises is on the disk. A restarted agent goes on from the last one it finds.
"""

from __future__ import annotations

from mayfly.transfer import killpoints

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

SUPERVISOR_STEPS: tuple[str, ...] = ("prepared", "supervising", "reaped", "recorded")
"""A supervisor's; `node/supervisor.py` names them itself because it imports next to nothing of ours."""

NURSERY_STEPS: tuple[str, ...] = ("asked", "forked")
"""Of the process that forks supervisors, named there too."""


def passing(step: str) -> None:
    """Call when `step` has been passed."""
    killpoints.passing(f"node:{step}")
