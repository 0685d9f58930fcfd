"""The private writable layer that each job gets above a cached environment (house §6).

Where the sandbox can mount overlays, the job sees the cached environment at its own path and writes into a folder of its
own: `pip` may upgrade and remove what it finds. Elsewhere a small virtual environment stands first on the job's path,
with the cached one, read-only, behind it: what it installs hides what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mayfly.node.environments import Built
from mayfly.transfer.removal import remove_tree

SHIM = Path(__file__).parent / "shim"
"""`azureml.core`, for scripts that ask it for the run they are in; behind all packages, so that the real one wins."""


@dataclass(frozen=True, slots=True)
class Layer:
    venv: str
    """VIRTUAL_ENV."""
    path: tuple[str, ...]
    """Searched before the system's own."""
    readable: tuple[Path, ...]
    """What the job must be able to read, besides what it may write."""
    overlay: tuple[str, str, str] | None = None
    """Lower, upper and work folder."""
    image: str = ""
    """The root folder of an image."""


def lay_image(root: Path, folder: Path, *, overlay: bool) -> Layer:
    """An image, with a layer in `folder` above all of it where there can be one. Repeatable."""
    remove_tree(folder)
    upper, work = folder / "upper", folder / "work"
    if not overlay:
        folder.mkdir()
        return Layer("", (), (), image=str(root))
    for place in (upper, work):
        place.mkdir(parents=True)
    upper.chmod(0o755)
    return Layer("", (), (), (str(root), str(upper), str(work)), str(root))


def lay(built: Built, folder: Path) -> Layer:
    """Make the layer in `folder`. Repeatable. Costs a few new files, whatever the environment holds."""
    remove_tree(folder)
    prefixes = sorted({Path(built.interpreter.prefix), Path(built.interpreter.exec_prefix)})
    readable = (*prefixes, SHIM, *([built.pip] if built.pip else []))
    if built.root is not None and built.is_open:
        return _above(built, built.root, folder, readable)
    return _in_front(built, folder, (*readable, *([built.root] if built.root else [])))


def _above(built: Built, root: Path, folder: Path, readable: tuple[Path, ...]) -> Layer:
    upper, work = folder / "upper", folder / "work"
    work.mkdir(parents=True)
    _furnish(built, upper, root / "bin" / "python", [built.pip] if built.pip else [])
    return Layer(str(root), (str(root / "bin"),), readable, (str(root), str(upper), str(work)))


def _in_front(built: Built, folder: Path, readable: tuple[Path, ...]) -> Layer:
    executable, version = built.interpreter.executable, built.interpreter.version
    below = [built.root / "lib" / f"python{version}" / "site-packages"] if built.root else []
    _furnish(built, folder, folder / "bin" / "python", [*below, *([built.pip] if built.pip else [])])
    (folder / "pyvenv.cfg").write_text(
        f"home = {Path(executable).parent}\ninclude-system-site-packages = false\n"
        f"version = {built.interpreter.full}\nexecutable = {executable}\n",
        encoding="utf-8",
    )
    for name in ("python", "python3", f"python{version}"):
        (folder / "bin" / name).symlink_to(executable)
    path = [folder / "bin", *([built.root / "wrappers", built.root / "bin"] if built.root else [])]
    return Layer(str(folder), tuple(map(str, path)), readable)


def _furnish(built: Built, folder: Path, python: Path, behind: list[Path]) -> None:
    """pip's commands, and the folders whose packages come behind those of the layer."""
    site = folder / "lib" / f"python{built.interpreter.version}" / "site-packages"
    for place in (folder / "bin", site):
        place.mkdir(parents=True)
    if built.pip is not None:
        for name in ("pip", "pip3", f"pip{built.interpreter.version}"):
            wrapper = folder / "bin" / name
            wrapper.write_text(f"#!/bin/sh\nexec '{python}' -m pip \"$@\"\n", encoding="utf-8")
            wrapper.chmod(0o755)
    behind = [*behind, SHIM]
    lines = [f"import site; site.addsitedir({str(place)!r})" for place in behind]
    (site / "_mayfly.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
