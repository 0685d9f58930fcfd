"""How a process comes into the control groups of its job. To move a process, the kernel waits until every other one has been seen
not to be forking, 15 ms on a quiet machine; it need not where the process moves itself and has one thread (version 1), or is born
there (version 2). Only the standard library."""

# ruff: noqa: PTH110, PTH118

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_CLONE3 = 435
"""The same everywhere."""
_INTO_CGROUP = 0x200000000
_ARGUMENTS = "11Q"
"""flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup"""


def fork_into(folders: Sequence[str]) -> tuple[int, bool]:
    """As `os.fork`, for a process of one thread that knows nothing of threads; and whether the child is in these groups already."""
    if sys.platform == "linux" and len(folders) == 1 and os.path.exists(os.path.join(folders[0], "cgroup.threads")):
        try:
            group = os.open(folders[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return os.fork(), False
        told = struct.pack(_ARGUMENTS, _INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
        # with the interpreter's lock held, which is then the child's
        pid = ctypes.PyDLL(None).syscall(_CLONE3, told, ctypes.c_size_t(len(told)))
        os.close(group)
        if pid >= 0:
            return pid, True
    return os.fork(), False


def join(folders: Sequence[str]) -> None:
    """With the one thread that we have."""
    for folder in folders:
        tasks = os.path.join(folder, "tasks")
        place = tasks if os.path.exists(tasks) else os.path.join(folder, "cgroup.procs")
        descriptor = os.open(place, os.O_WRONLY)
        os.write(descriptor, b"0")
        os.close(descriptor)
