"""Kill points: moments at which a fault test may have this process die, as a power cut would have it.

Whatever is made to last is a kill point, before it and after: each unit of work of the store (named by the function that
does it, and by the persisted steps that it takes), each file that is written whole, each step of an attempt. So the list
of them comes from the code: `MAYFLY_KILL_TRACE` names a file to which every process adds the points that it passes.
`MAYFLY_KILL_AT` names the points to die at, separated by ';'; each kills once, if `MAYFLY_KILL_ONCE` names a file that
can be created as the mark of the first (the others' have their number behind it). `node/supervisor.py` has its own few
lines for this, because it imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_AT = tuple(filter(None, os.environ.get("MAYFLY_KILL_AT", "").split(";")))
_ONCE = os.environ.get("MAYFLY_KILL_ONCE", "")
_TRACE = os.environ.get("MAYFLY_KILL_TRACE", "")

ARMED = bool(_AT or _TRACE)
"""Whether anybody asked: a point on a hot path need not find its name otherwise."""


def passing(point: str) -> None:
    """The process is at `point` now."""
    if not ARMED:
        return
    if _TRACE:
        trace = os.open(_TRACE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(trace, f"{point}\n".encode())
        os.close(trace)
    if point not in _AT:
        return
    if _ONCE:
        number = _AT.index(point)
        try:
            mark = f"{_ONCE}.{number}" if number else _ONCE
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def lasting(what: str) -> Iterator[None]:
    """What is done within makes `what` last."""
    passing(f"{what}:before")
    yield
    passing(f"{what}:after")
