"""Everything a rank needs on its disk before it may start."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mayfly.node import cache
from mayfly.node.environments import Environments
from mayfly.node.folders import AttemptFolder, NodeFolder
from mayfly.node.layer import lay
from mayfly.node.plan import build_log_name
from mayfly.node.server import Server
from mayfly.wire.agent import Assignment, DataInput


@dataclass(frozen=True, slots=True)
class Materialised:
    """What the launch needs to know; kept as JSON in the attempt's folder."""

    inputs: dict[str, str]
    """Input name → the path that the job sees."""
    readable: tuple[tuple[str, str], ...]
    """(where it lies, where the job sees it)."""
    path: tuple[str, ...]
    venv: str = ""
    overlay: tuple[str, str, str] | None = None
    """Lower, upper and work folder (`sandbox.Overlay`)."""


def materialise(
    assignment: Assignment,
    node: NodeFolder,
    folder: AttemptFolder,
    environments: Environments,
    server: Server,
    *,
    remaps: bool,
    enter: Callable[[str, str], None],
    running: Callable[[subprocess.Popen[bytes]], None],
) -> Materialised:
    """Repeatable: what an earlier try left is used or replaced. `enter(phase, detail)` is called as each phase begins.
    `remaps`: the sandbox can show a folder at another path. Raises MayflyError."""
    enter("environment", assignment.environment.name)
    built = environments.build(assignment.environment, folder.root / build_log_name(assignment), running)
    layer = lay(built, folder.venv)
    enter("inputs", "")
    _code(assignment, node, folder, server)
    readable = [(str(place), str(place)) for place in layer.readable]
    inputs = {}
    for data in assignment.inputs:
        source, seen = _input(data, node, folder, server, remaps)
        if source is not None:
            readable.append((str(source), str(seen)))
        inputs[data.name] = str(_only_file(source or seen, seen) if data.is_file else seen)
    for output in assignment.outputs:
        if output.name != "artifacts":
            (folder.outputs / output.name).mkdir(parents=True, exist_ok=True)
    return Materialised(inputs, tuple(readable), layer.path, layer.venv, layer.overlay)


def _code(assignment: Assignment, node: NodeFolder, folder: AttemptFolder, server: Server) -> None:
    if assignment.code is None:
        folder.code.mkdir(exist_ok=True)
    else:
        cache.private_copy(cache.tree(node.cache, assignment.code, server), folder.code)
    for name in ("outputs", "logs"):
        (folder.code / name).mkdir(exist_ok=True)


def _input(
    data: DataInput, node: NodeFolder, folder: AttemptFolder, server: Server, remaps: bool
) -> tuple[Path | None, Path]:
    """(a read-only source to show there or None, where the job sees it)."""
    source = cache.tree(node.cache, data.tree, server)
    seen = folder.inputs / data.name
    if data.mode == "download":
        cache.private_copy(source, seen)
        return None, seen
    if remaps:
        seen.mkdir(exist_ok=True)
        return source, seen
    return source, source


def _only_file(source: Path, seen: Path) -> Path:
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    return seen / files[0].relative_to(source) if files else seen
