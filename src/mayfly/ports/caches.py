"""The port to what nodes keep for later jobs: environments and code that can be made again."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

from mayfly.kit.clock import Millis


@dataclass(frozen=True, slots=True)
class Cached:
    """What was given up, or would be, and what stayed."""

    environments: int = 0
    images: int = 0
    trees: int = 0
    bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0


class NodeCaches(Protocol):
    def prune(self, before: Millis, keep: Set[str], *, dry_run: bool) -> Cached:
        """Give up what no job has used since `before`, by wall time. Never what an attempt uses or a build is making,
        nor the environments named in `keep` (their plans' digests). May be repeated and interrupted at any time; jobs
        may begin meanwhile."""
        ...
