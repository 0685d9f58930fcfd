"""The port to a container engine: it finds, fetches and builds images, and runs nothing. Jobs run in their own sandbox,
which shows them an image's files (`node.images`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    """SHA-256 (hex) of its configuration: never another content under the same id."""
    engine: str
    """The program that has it."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What it sets for every process in it."""


Say = Callable[[str], None]
"""Gets the engine's own lines as they come."""


class ImageEngine(Protocol):
    """`pull` and `build` may take minutes and be killed at any time: what they leave half done they use again. Both raise
    Unavailable `EnvironmentBuildCancelled` soon after `cancelled` is set."""

    def missing(self) -> str:
        """Why there is none: what was looked for, and what it said. '' where there is one."""
        ...

    def find(self, image: str) -> Image | None:
        """An image that is here already, by name or id."""
        ...

    def pull(self, image: str, say: Say, cancelled: threading.Event | None = None) -> Image:
        """Raises Broken `ImageNotFound` with the engine's words, `ImageRegistryUnreachable` when it could not ask."""
        ...

    def build(
        self,
        context: Path,
        dockerfile: str,
        name: str,
        say: Say,
        cancelled: threading.Event | None = None,
        *,
        pull: bool = False,
    ) -> Image:
        """Build what `dockerfile` (relative to `context`) says, known as `name` from then on. Its commands never run with
        the rights of a root that could reach the server's files. `pull`: images that it begins with may be fetched (docker
        asks nobody). Raises Broken `ImageBuildFailed` with the builder's words, `EngineFailed` when it could not begin."""
        ...

    def remove(self, name: str) -> None:
        """Give up a name that `build` gave, and the image with it unless it has other names. One that is not there is
        gone already."""
        ...
