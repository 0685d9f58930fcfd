"""The files of a container image, taken out of its engine once for all jobs of this machine.

The engine only makes and keeps images. A job runs in Mayfly's own sandbox, under Mayfly's own supervisor, user and limits,
and sees these files in place of the machine's system: so an image changes what a command finds, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from mayfly.kit.errors import Broken
from mayfly.node.cache import built_once, pin
from mayfly.transfer.removal import remove_tree
from mayfly.wire.agent import EnvironmentPlan, Image

GONE = "ImageGone"
_MOUNTED = ("proc", "sys", "dev", "tmp", "etc", "var/tmp")
"""What an image without them is given, since something is shown there."""
_LAID = ("passwd", "group", "resolv.conf", "hosts")
"""Files below etc that are shown over those of the image."""
_SHELLS = ("bin/bash", "usr/bin/bash", "bin/sh")

Running = Callable[[subprocess.Popen[bytes]], None]


class Images:
    """Roots below `<cache>/images`, made once for all processes of the machine that share the cache. `overlays`: jobs get
    theirs below an overlay, whose folders and files must then be open (see `node.environments.Environments`)."""

    def __init__(self, cache: Path, *, overlays: bool) -> None:
        self._cache, self._overlays = cache, overlays

    def root(self, plan: EnvironmentPlan, log: Path, running: Running, tell: Callable[[str], None], pins: Path) -> Path:
        """The image's root folder, read-only. `running` is given each tool as it starts, `tell` what is done. Raises
        Broken `ImageGone`, `ImageNotTaken`, `ImageWithoutShell`."""
        image = plan.image
        assert image is not None
        place = self._cache / "images" / (image.id + ("-open" if self._overlays else ""))
        pin(place, pins)

        def take(part: Path) -> None:
            tell(f"taking the files out of the image {image.id[:12]}")
            _export(plan.name, image, part, log, running, self._container(image))
            prepare(part, self._overlays)
            if not _inside(part, "bin/sh"):
                raise Broken(
                    "ImageWithoutShell",
                    f"The image {plan.name} has no shell, and the command of a job is run by one.",
                    remedy="Build it from an image with /bin/sh.",
                )

        return built_once(place, take)

    def _container(self, image: Image) -> str:
        """The name under which its files are taken out: one that a killed agent left behind is found again."""
        return f"mayfly-{hashlib.sha256(str(self._cache).encode()).hexdigest()[:8]}-{image.id[:16]}"


def shell(root: Path) -> str | None:
    """The shell of an image, as the job names it: bash where there is one."""
    return next((f"/{name}" for name in _SHELLS if _inside(root, name)), None)


def _inside(root: Path, name: str) -> bool:
    """Whether that file is there, links followed as the job will: an absolute one begins at the image's root."""
    place = root
    parts = list(Path(name).parts)
    for _ in range(40):
        if not parts:
            return place.is_file()
        place = place / parts.pop(0)
        if place.is_symlink():
            target = place.readlink()
            place = root if target.is_absolute() else place.parent
            parts = [part for part in target.parts if part != "/"] + parts
        elif not place.exists():
            return False
    return False


def _export(name: str, image: Image, part: Path, log: Path, running: Running, container: str) -> None:
    with log.open("ab", buffering=0) as output:
        _remove(image, container)
        made = _tool([image.engine, "create", "--name", container, image.id, "/bin/sh"], subprocess.DEVNULL, output)
        running(made)
        if made.wait() != 0:
            raise Broken(
                GONE,
                f"The image {name} ({image.id[:12]}) is not in {image.engine} on this node any more. {_last(log)}",
                remedy=f"Build or pull it again: mayfly environment build, or {image.engine} pull.",
            )
        try:
            export = _tool([image.engine, "export", container], subprocess.PIPE, output)
            running(export)
            unpack = _tool(
                ["tar", "--extract", "--directory", str(part), "--no-same-owner", "--exclude=dev/*"],
                subprocess.DEVNULL,
                output,
                stdin=export.stdout,
            )
            running(unpack)
            assert export.stdout is not None
            export.stdout.close()
            failed = [tool.wait() != 0 for tool in (unpack, export)]
        finally:
            _remove(image, container)
    if any(failed):
        raise Broken("ImageNotTaken", f"The files of the image {name} could not be taken out: {_last(log)}")


def _remove(image: Image, container: str) -> None:
    _tool([image.engine, "rm", "--force", container], subprocess.DEVNULL, subprocess.DEVNULL).wait()


def _tool(
    argv: list[str], stdout: int, stderr: IO[bytes] | int, stdin: IO[bytes] | int | None = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr)
    except OSError as error:
        raise Broken(
            "ImageNotTaken", f"{argv[0]} does not start on this node: {error}.", remedy=f"Install {argv[0]} there."
        ) from error


def _last(log: Path) -> str:
    return " ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])


def prepare(root: Path, is_open: bool) -> None:
    """Readable for the job's user, who is not root as in a container: images keep tools in /root, too. Below an overlay
    everything may be changed, each job's changes being its own."""
    for name in _MOUNTED:
        place = root
        for part in Path(name).parts:  # never through a link: it would lead to this machine's own files
            place = place / part
            if place.is_symlink() or not place.is_dir():
                place.unlink(missing_ok=True)
                place.mkdir()
    for name in _LAID:
        place = root / "etc" / name
        if place.is_symlink() or not place.is_file():
            if place.is_dir() and not place.is_symlink():
                remove_tree(place)
            place.unlink(missing_ok=True)
            place.touch()
    for parent, _, names in os.walk(root):
        os.chmod(parent, 0o777 if is_open else 0o755)  # noqa: PTH101
        for name in names:
            place = os.path.join(parent, name)  # noqa: PTH118
            mode = os.lstat(place).st_mode
            if stat.S_ISREG(mode):
                readable = mode & 0o111 | 0o444
                os.chmod(place, readable | (0o222 if is_open else 0))  # noqa: PTH101
            elif not stat.S_ISLNK(mode):
                os.unlink(place)  # noqa: PTH108  (devices and sockets)
