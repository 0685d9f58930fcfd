"""Files that stand in a job's definition, read from the submitter's machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.spec import document
from mayfly.spec.document import Document


@dataclass(frozen=True, slots=True)
class Part:
    """One file: where its content stands in the definition."""

    path: Path
    """As the person would name it."""
    pointer: str
    document: Document


def read_part(path: Path, pointer: str) -> Part:
    """A file that stands at `pointer`. Raises Invalid `JobFileNotFound`, `JobFileUnreadable` and those of
    `spec.document.load`."""
    path = Path(os.path.normpath(path))
    return Part(path, pointer, document.load(content(path), str(path)))


def content(path: Path) -> bytes:
    """Raises Invalid `JobFileNotFound`, `JobFileUnreadable`."""
    try:
        if path.is_dir():
            raise Invalid("JobFileUnreadable", f"'{path}' is a folder.", remedy="Give the job's YAML file.")
        with path.open("rb") as file:
            return file.read(document.MOST_BYTES + 1)
    except FileNotFoundError as error:
        close = neighbour(path)
        raise Invalid(
            "JobFileNotFound",
            f"There is no file '{path}'.",
            remedy=f"Did you mean '{close}'?" if close else "Check the path.",
        ) from error
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise Invalid("JobFileUnreadable", f"'{path}' cannot be read: {words}.") from error


def not_found(written: str, place: Path, pointer: str) -> Fault:
    close = neighbour(place)
    return Fault(
        "FileNotFound",
        f"'{written}' is not there (looked for '{os.path.normpath(place.absolute())}').",
        pointer,
        f"Did you mean '{close}'?" if close else "Paths are relative to the file that contains them.",
    )


def neighbour(path: Path) -> str | None:
    """What lies beside it under a name like it."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except (OSError, ValueError):
        return None
