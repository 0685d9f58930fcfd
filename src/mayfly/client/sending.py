"""A local file or folder on its way to the server, by itself: for assets."""

from __future__ import annotations

from pathlib import Path

from mayfly.client.uploading import ContentDoors, Looking, Progress, scan_context, send
from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.transfer import trees
from mayfly.transfer.stats import StatCache

POINTER = "/path"


def send_path(
    path: Path, type: str, doors: ContentDoors, progress: Progress, cache: Path, looking: Looking
) -> tuple[str, bool]:
    """Send what the server lacks; the digest of the tree, and whether it is a single file.

    Raises Invalid, with a pointer to `/path`: `FileNotFound`, `InputIsAFile`, `InputIsAFolder` when it is not what `type`
    says, and what `trees.scan` raises."""
    if not path.exists():
        raise _wrong("FileNotFound", f"'{path}' is not there.", "Paths are relative to the file that contains them.")
    if path.is_file() and type in ("uri_folder", "mltable"):
        raise _wrong("InputIsAFile", f"'{path}' is a file, not a folder.", "Write 'type: uri_file'.")
    if path.is_dir() and type == "uri_file":
        raise _wrong("InputIsAFolder", f"'{path}' is a folder, not a file.", "Write 'type: uri_folder'.")
    if type == "mltable" and not (path / "MLTable").is_file():
        raise _wrong("MltableMissing", f"There is no file 'MLTable' in '{path}'.", "Write one, or use uri_folder.")
    stats = StatCache(cache)
    try:
        scan = trees.tree_of_file(path, cache=stats) if path.is_file() else trees.scan(path, cache=stats, seen=looking)
    except MayflyError as error:
        raise _wrong(error.code, error.message, error.remedy) from error
    stats.save()
    send(scan, doors, "path", progress)
    return scan.digest, path.is_file()


def send_context(
    folder: Path, dockerfile: str, doors: ContentDoors, progress: Progress, cache: Path, looking: Looking
) -> str:
    """Send what the server lacks of an environment's build context; the digest of its tree. Raises Invalid, with a
    pointer to `/build/path`."""
    stats = StatCache(cache)
    try:
        if not folder.is_dir():
            raise Invalid("FileNotFound", f"There is no folder '{folder}'.", remedy="Paths are relative to the file.")
        scan = scan_context(folder, dockerfile, stats, looking)
    except MayflyError as error:
        raise _wrong(error.code, error.message, error.remedy, "/build/path") from error
    stats.save()
    send(scan, doors, "build", progress)
    return scan.digest


def _wrong(code: str, message: str, remedy: str | None, pointer: str = POINTER) -> Invalid:
    return Invalid(code, message, remedy=remedy, pointer=pointer, faults=[Fault(code, message, pointer, remedy)])
