"""The fence (promise 2): store epoch and attempt. Only its holder changes what Mayfly publishes of a job."""

from __future__ import annotations

from mayfly.domain.job import Job


def current(job: Job, attempt: int, epoch: int, *, present: int) -> bool:
    """Whether (epoch, attempt) is the job's present attempt in the store's `present` epoch. A job that was put back in
    the queue keeps the number of its lost attempt, and has no present one until it is placed again."""
    return attempt == job.attempt and epoch == present and bool(job.ranks)


def holds(job: Job, attempt: int, epoch: int, *, present: int) -> bool:
    """Whether that attempt may change what is published: it is the present one, and the job has not ended."""
    return current(job, attempt, epoch, present=present) and not job.state.terminal
