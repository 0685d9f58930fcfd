"""A component's code folder with what it includes from elsewhere (semantics §16), as one snapshot."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.transfer import trees
from mayfly.transfer.stats import StatCache
from mayfly.transfer.trees import Scan
from mayfly.wire.agent import Tree, TreeEntry

_EPOCH = (1980, 1, 1, 0, 0, 0)

ScanCode = Callable[[Path], Scan]
"""A folder as a code folder: its ignore files obeyed."""


def added(code: Scan, includes: Sequence[Path], scan: ScanCode, scratch: Path, cache: StatCache | None) -> Scan:
    """The code with each include beside it, under its own name: a file, a folder, or NAME.zip where only the folder NAME
    is there, which is then packed. Folders of one name are merged. `scratch`: a folder for packed ones, which must be
    there until the snapshot was sent. Raises Invalid `IncludeClashes` when two of them have another file of one name."""
    entries = {entry.path: entry for entry in code.tree.entries}
    files = dict(code.files)
    for place in includes:
        found, prefix = _include(place, scan, scratch, cache)
        for entry in found.tree.entries:
            path = prefix + entry.path
            there = entries.get(path)
            if there is not None and there.digest != entry.digest:
                raise Invalid(
                    "IncludeClashes",
                    f"'{path}' is in the code folder and in the include '{place}', with different contents.",
                    remedy="Rename one of them, or leave it out with a line in .amlignore.",
                )
            entries[path] = TreeEntry(path=path, digest=entry.digest, size=entry.size, executable=entry.executable)
        files |= found.files
    ordered = tuple(sorted(entries.values(), key=lambda entry: entry.path))
    return Scan(Tree(entries=ordered), files, sum(entry.size for entry in ordered))


def _include(place: Path, scan: ScanCode, scratch: Path, cache: StatCache | None) -> tuple[Scan, str]:
    """What is included, and the folder that it goes to."""
    if place.is_dir():
        return scan(place), place.resolve().name + "/"
    if place.is_file():
        return trees.tree_of_file(place, cache=cache), ""
    return trees.tree_of_file(_packed(place, scan(place.with_suffix("")), scratch)), ""


def _packed(place: Path, content: Scan, scratch: Path) -> Path:
    """The folder as a zip file with itself as its root; the same bytes for the same files."""
    packed = scratch / place.name
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in content.tree.entries:
            info = zipfile.ZipInfo(f"{place.stem}/{entry.path}", _EPOCH)
            info.external_attr = (0o755 if entry.executable else 0o644) << 16
            archive.writestr(info, Path(content.files[Digest(entry.digest)]).read_bytes(), zipfile.ZIP_DEFLATED)
    return packed
