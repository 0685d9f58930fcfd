"""An asset's file on the submitter's machine: read, completed with what it includes, and checked before any server is
asked. Every fault finds its way back to a file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mayfly.client.parts import Part, read_part
from mayfly.kit.errors import Fault
from mayfly.spec import document, overrides
from mayfly.spec.paths import local


@dataclass(frozen=True, slots=True)
class AssetFile:
    path: Path
    definition: dict[str, Any]
    """As written, `--set` applied, included files in place of their names."""
    parts: tuple[Part, ...]
    """The file first."""

    def locate(self, fault: Fault) -> str:
        """`env.yml:12: message`; only the message where the fault has no place in a file."""
        if fault.pointer is None:
            return fault.message
        inside = [part for part in self.parts if _within(fault.pointer, part.pointer)]
        part = inside[-1]
        place = part.document.position(fault.pointer[len(part.pointer) :])
        return f"{part.path}:{place[0]}: {fault.message}" if place else fault.message

    def local(self, path: str) -> Path:
        """Where a local path of the file lies."""
        return self.path.parent / Path(local(path)).expanduser()


def read(
    path: Path | None, given: Mapping[str, Any], sets: Iterable[str] = (), includes: Iterable[str] = ()
) -> AssetFile:
    """The file (or none) with what options gave (None: nothing) and the `--set`s on top. `includes`: keys whose text
    names a YAML file to be put in its place. Raises as `client.jobfile.read`."""
    if path is None:
        path, whole = Path("command line"), document.Document("command line", {})
    else:
        whole = read_part(path, "").document
    options = {key: value for key, value in given.items() if value is not None}
    definition = overrides.apply({**whole.data, **options}, list(sets))
    made = AssetFile(path, definition, (Part(path, "", whole),))
    for key in includes:
        made = _including(made, key)
    return made


def _including(file: AssetFile, key: str) -> AssetFile:
    text = file.definition.get(key)
    if not isinstance(text, str) or not text.strip():
        return file
    part = read_part(file.local(text), f"/{key}")
    return replace(file, definition={**file.definition, key: part.document.data}, parts=(*file.parts, part))


def _within(pointer: str, above: str) -> bool:
    return pointer == above or pointer.startswith(above + "/")
