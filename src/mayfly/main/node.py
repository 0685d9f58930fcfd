"""Composition root of a node. `python -m mayfly.main.node <folder>` is the watchdog, with `--agent` the agent;
with `--mount <attempt's folder>`, the server of an attempt's streamed inputs; with `--probe`, what this machine can give.

Each part is loaded only in the process that is it: the watchdog stays tiny.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

_STARTED_NS = time.time_ns() - time.monotonic_ns()


def now() -> int:
    """The `Clock` of a node: wall clock at the start plus monotonic time since, in milliseconds."""
    return (_STARTED_NS + time.monotonic_ns()) // 1_000_000


def run_watchdog(folder: Path) -> int:
    return import_module("mayfly.node.watchdog").watch(folder)


def run_agent(folder: Path) -> int:
    agent = import_module("mayfly.node.agent")
    lock = os.environ.pop("MAYFLY_NODE_LOCK", "")
    keep = (int(lock),) if lock else ()
    for descriptor in keep:
        os.set_inheritable(descriptor, False)
    forbidden = tuple(os.environ.get("MAYFLY_SANDBOX_WITHOUT", "").split())
    grace = os.environ.get("MAYFLY_GRACE_S")
    checkpoint = os.environ.get("MAYFLY_CHECKPOINT_S")
    settings = agent.Settings(
        forbidden=forbidden,
        keep=keep,
        grace_s=float(grace) if grace else None,
        checkpoint_s=float(checkpoint) if checkpoint else None,
    )
    return agent.main(folder, now, settings)


def run_mount(folder: Path) -> int:
    return import_module("mayfly.node.mount").main(folder)


def run_probe(folder: Path) -> int:
    return import_module("mayfly.node.capabilities").main(folder)


ROLES: dict[str, Callable[[Path], int]] = {"--agent": run_agent, "--mount": run_mount, "--probe": run_probe}


def main(arguments: list[str]) -> int:
    role = ROLES.get(arguments[0]) if len(arguments) == 2 else None
    if role is None and (len(arguments) != 1 or arguments[0].startswith("-")):
        print("usage: python -m mayfly.main.node [--agent | --mount | --probe] <folder>", file=sys.stderr)  # noqa: T201
        return 2
    return (role or run_watchdog)(Path(arguments[-1]).absolute())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
