"""A job's outputs and logs, brought into a folder in Azure's layout (semantics §4, "Reading back"):
`artifacts/…` for the default output and the logs, `named-outputs/<name>/…` for each named one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mayfly.client.doors import ENDED, Doors, View
from mayfly.kit.errors import Broken, Conflict, Invalid, NotFound, nearest
from mayfly.transfer import trees
from mayfly.wire.agent import Tree, TreeEntry

DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What one output became. `files` counts the logs among the default output's."""

    name: str
    folder: Path
    files: int
    bytes: int


def download(
    doors: Doors,
    job: View,
    target: Path,
    *,
    only: str | None = None,
    everything: bool = False,
    progress: Callable[[str, int], None] = lambda _name, _bytes: None,
) -> list[Downloaded]:
    """The default output and the logs; `only` that output, or `everything`. Of a job that runs, what its last checkpoint
    holds.

    Every file is verified against its digest and appears whole or not at all; nothing is written outside `target`.
    Raises Conflict `JobNotEnded`, NotFound `OutputNotFound`, Broken `ContentMismatch`, Invalid for a file list that
    would lead outside.
    """
    name = job["name"]
    outputs = doors.outputs(name)
    if job["status"] not in ENDED and not outputs:
        raise Conflict(
            "JobNotEnded",
            f"The job '{name}' is {job['status']} and has no checkpoint yet; outputs can be downloaded when it has ended.",
            remedy=f"Follow it: mayfly job stream -n {name}",
        )
    done: list[Downloaded] = []
    taken: set[str] = set()
    for output in _chosen(outputs, name, only, everything):
        folder = folder_of(target, output["name"])
        tree = _tree(doors, output)
        progress(output["name"], sum(entry.size for entry in tree.entries))
        refuse_links(folder, [entry.path for entry in tree.entries])
        written = trees.materialise(tree, folder, doors.fetch)
        taken |= {entry.path for entry in tree.entries} if output["name"] == DEFAULT else set()
        done.append(Downloaded(output["name"], folder, len(tree.entries), written))
    if only in (None, DEFAULT):
        done = _with_logs(done, _logs(doors, name, folder_of(target, DEFAULT), taken))
    return done


def folder_of(target: Path, output: str) -> Path:
    """Where an output goes. Raises Invalid `OutputNameInvalid` for one that is no plain name."""
    if output == DEFAULT:
        return target / "artifacts"
    if not _NAME.match(output):
        raise Invalid("OutputNameInvalid", f"{output!r} is not the name of an output.")
    return target / "named-outputs" / output


def refuse_links(folder: Path, paths: Sequence[str]) -> None:
    """Raises Invalid `LinkLeavesFolder` when a path, or a part of it, is a link that is there already."""
    for path in paths:
        place = folder
        for part in path.split("/")[:-1]:
            place = place / part
            if place.is_symlink():
                raise Invalid(
                    "LinkLeavesFolder",
                    f"'{place}' is a link; nothing is written through it.",
                    remedy="Download into an empty folder: --download-path NEW_FOLDER",
                )


def _chosen(outputs: Sequence[View], job: str, only: str | None, everything: bool) -> list[View]:
    if everything:
        return list(outputs)
    wanted = only or DEFAULT
    found = [output for output in outputs if output["name"] == wanted]
    if not found and only is not None:
        names = [output["name"] for output in outputs]
        near = nearest(only, names)
        raise NotFound(
            "OutputNotFound",
            f"The job '{job}' has no output '{only}'.",
            remedy=f"Did you mean '{near}'?" if near else f"It has: {', '.join(names) or 'none'}.",
        )
    return found


def _tree(doors: Doors, output: View) -> Tree:
    tree = trees.decode(doors.tree(output["tree"]))
    if trees.digest_of(tree) != output["tree"]:
        raise Broken("ContentMismatch", f"The file list of the output '{output['name']}' is not the one promised.")
    return tree


def _logs(doors: Doors, job: str, folder: Path, taken: set[str]) -> Downloaded:
    files = size = 0
    for log in doors.logs(job):
        path = str(log["file"])
        if path in taken:
            continue
        trees.check(Tree(entries=(TreeEntry(path=path, digest="0" * 64, size=0),)))
        refuse_links(folder, [path])
        place = folder.joinpath(*path.split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".mayfly-{os.getpid()}.part")
        try:
            with doors.log(job, path) as chunks, part.open("wb") as file:
                size += sum(file.write(chunk) for chunk in chunks)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        files += 1
    return Downloaded(DEFAULT, folder, files, size)


def _with_logs(done: list[Downloaded], logs: Downloaded) -> list[Downloaded]:
    if not logs.files:
        return done
    others = [item for item in done if item.name != DEFAULT]
    own = [item for item in done if item.name == DEFAULT]
    files = logs.files + sum(item.files for item in own)
    return [Downloaded(DEFAULT, logs.folder, files, logs.bytes + sum(item.bytes for item in own)), *others]
