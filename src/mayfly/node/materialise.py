"""Everything a rank needs on its disk before it may start."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mayfly.kit.errors import Broken
from mayfly.node import cache
from mayfly.node.collect import DEFAULT
from mayfly.node.environments import Environments
from mayfly.node.folders import AttemptFolder, NodeFolder
from mayfly.node.images import Images
from mayfly.node.inputs import Inputs
from mayfly.node.layer import Layer, lay, lay_image
from mayfly.node.mounts import Mount
from mayfly.node.plan import build_log_name
from mayfly.node.server import Server
from mayfly.node.steps import passing
from mayfly.transfer import trees
from mayfly.wire.agent import Assignment, Tree
from mayfly.wire.learning import learn


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
    streamed: tuple[str, ...] = ()
    """Inputs that a mount server streams."""
    note: str = ""
    """What a person should know of how it was done."""
    image: str = ""
    """The root folder of the image it runs in; '' for the machine's own system."""

    def stands(self) -> bool:
        """Whether its own layer is there."""
        return self.overlay is None or all(Path(place).is_dir() for place in self.overlay[1:])


learn(Materialised)


@dataclass(frozen=True, slots=True)
class Means:
    """What preparing needs of the agent and of the machine."""

    node: NodeFolder
    environments: Environments
    images: Images
    server: Server
    mount: Mount
    remaps: bool
    """The sandbox can show a folder at another path."""
    cannot_mount: str
    keep: tuple[int, ...]


def materialise(
    assignment: Assignment,
    folder: AttemptFolder,
    means: Means,
    *,
    enter: Callable[[str, str], None],
    running: Callable[[subprocess.Popen[bytes]], None],
    check: Callable[[], None],
) -> Materialised:
    """Repeatable: what an earlier try left is used or replaced. `enter(phase, detail)` is called as each phase begins,
    and again as it gets on; `check` is called often and may raise. Raises MayflyError."""
    enter("environment", assignment.environment.name)
    layer = _environment(assignment, folder, means, enter, running)
    enter("inputs", "")
    _code(assignment, means.node, folder, means.server)
    inputs = Inputs(
        assignment=assignment,
        node=means.node,
        folder=folder,
        server=means.server,
        mount=means.mount,
        remaps=means.remaps,
        cannot_mount=means.cannot_mount,
        keep=means.keep,
        enter=lambda detail: enter("inputs", detail),
        check=check,
    )
    inputs.bring()
    for output in assignment.outputs:
        if output.name != "artifacts" and output.mode != "direct":
            (folder.outputs / output.name).mkdir(parents=True, exist_ok=True)
    _restore(assignment, folder, means.server)
    readable = [*((place, place) for place in layer.readable), *inputs.readable]
    return Materialised(
        inputs=inputs.values,
        readable=tuple((str(source), str(seen)) for source, seen in readable),
        path=layer.path,
        venv=layer.venv,
        overlay=layer.overlay,
        image=layer.image,
        streamed=tuple(inputs.streamed),
        note=" ".join(inputs.notes),
    )


def _environment(
    assignment: Assignment,
    folder: AttemptFolder,
    means: Means,
    enter: Callable[[str, str], None],
    running: Callable[[subprocess.Popen[bytes]], None],
) -> Layer:
    log = folder.root / build_log_name(assignment)

    def tell(progress: str) -> None:
        enter("environment", progress)

    if assignment.environment.image is not None:
        if not means.remaps:
            raise Broken(
                "SandboxCannotRunImages",
                "This node has no sandbox that could show a job the files of an image.",
                remedy="Allow unprivileged user namespaces on it, or run its agent as root.",
            )
        root = means.images.root(assignment.environment, log, running, tell, folder.pins)
        return lay_image(root, folder.venv, overlay=means.environments.overlays)
    built = means.environments.build(assignment.environment, log, running, tell, folder.pins)
    return lay(built, folder.venv)


def _code(assignment: Assignment, node: NodeFolder, folder: AttemptFolder, server: Server) -> None:
    if assignment.code is None:
        folder.code.mkdir(exist_ok=True)
    else:
        cache.private_copy(cache.tree(node.cache, assignment.code, server, folder.pins), folder.code)
    for name in ("outputs", "logs"):
        (folder.code / name).mkdir(exist_ok=True)


def _restore(assignment: Assignment, folder: AttemptFolder, server: Server) -> None:
    """Begin with what the last attempt had left (semantics §8): its files replace those of the code snapshot."""
    for name, digest in assignment.restore.items():
        tree = server.tree(digest)
        if name == DEFAULT:
            place = folder.code
            kept = tuple(entry for entry in tree.entries if entry.path.startswith(("outputs/", "logs/")))
            tree = Tree(entries=kept)
        elif name == "artifacts" or not (folder.outputs / name).is_dir():
            continue
        else:
            place = folder.outputs / name
        trees.materialise(tree, place, server.fetch(tree))
    if assignment.restore:
        passing("restored")
