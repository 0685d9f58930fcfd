"""A registry's folder: asset files as they lie in a Git checkout, found by what they say they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Invalid, NotFound
from mayfly.spec import document
from mayfly.spec.paths import Refers, local, refers

_MOST = 5_000
_SCHEMA = re.compile(r"/(\w+)\.schema\.json\Z")


@dataclass(frozen=True, slots=True)
class RegistryAsset:
    registry: str
    root: Path
    """The registry's folder. Nothing outside of it is read for it, whatever its files say."""
    path: Path
    """Its own file; paths in it are relative to that."""
    body: dict[str, Any]
    version: str

    @property
    def named(self) -> str:
        return f"{self.registry}/{self.body['name']}:{self.version}"

    def place(self, written: str) -> Path:
        """Where a path in its file leads. Raises Invalid `RegistryPathOutside`."""
        place = (self.path.parent / local(written)).resolve()
        if not place.is_relative_to(self.root.resolve()):
            raise Invalid(
                "RegistryPathOutside",
                f"'{written}' in {self.path.name} leads out of the registry '{self.registry}'.",
                remedy="Keep what its assets need inside the registry's folder.",
            )
        return place

    def beside(self, written: str) -> Path:
        """As `place`, of what is there. Raises also NotFound `RegistryFileNotFound`."""
        place = self.place(written)
        if not place.exists():
            raise NotFound(
                "RegistryFileNotFound",
                f"The registry '{self.registry}' has no '{written}', which {self.path.name} names.",
                remedy="Paths are relative to the file that contains them.",
            )
        return place

    def last(self) -> str:
        """What the file or folder is called that its file names; '' where that is none of the registry's."""
        written = str(self.body.get("path") or "")
        return self.place(written).name if refers(written) is Refers.LOCAL and written else ""

    def at(self, written: str) -> RegistryAsset:
        """What a file beside its own holds. Raises as `beside`, Invalid `RegistryFileInvalid`."""
        path = self.beside(written)
        return replace(self, path=path, body=_yaml(path))

    def environment(self, written: Any) -> Any:
        """An environment that its file names or holds, with the files for its packages read in."""
        if isinstance(written, str) and written[:5].lower() == "file:":
            there = self.at(written)
            return there.environment(there.body)
        if isinstance(written, dict) and isinstance(conda := written.get("conda_file"), str):
            written = {**written, "conda_file": _yaml(self.beside(conda))}
        if isinstance(written, dict) and isinstance(build := written.get("build"), dict) and build.get("path"):
            written = {**written, "build": {**build, "path": str(self.beside(build["path"]))}}
        return written


def assets(registry: str, folder: Path, kind: AssetKind, beside: Path) -> Iterator[RegistryAsset]:
    """Every file of that kind below the folder, the first 5,000 YAML files by name; what cannot be read is none. What lies
    in `beside` (the server's state, with the files of its jobs) is no part of a registry that has it within."""
    for path in sorted(_written(folder, beside))[:_MOST]:
        try:
            found = path.stat()
            body = _read(path, found.st_size, found.st_mtime_ns)
        except (Invalid, OSError):
            continue
        if isinstance(body.get("name"), str) and _is(body, path.relative_to(folder), kind):
            yield RegistryAsset(registry, folder, path, body, str(body.get("version", "1")))


def _written(folder: Path, beside: Path) -> Iterator[Path]:
    left_out = os.path.join(folder, os.path.relpath(os.path.realpath(beside), os.path.realpath(folder)))  # noqa: PTH118
    for place, folders, names in os.walk(folder):  # what vanishes meanwhile is passed over
        folders[:] = [one for one in folders if os.path.join(place, one) != left_out]  # noqa: PTH118
        yield from (Path(place, name) for name in names if name.endswith((".yml", ".yaml")))


def _is(body: dict[str, Any], path: Path, kind: AssetKind) -> bool:
    """By its schema, else by the folder it lies in (`components/…`), else by what it has."""
    schema = _SCHEMA.search(str(body.get("$schema", "")))
    if schema is not None:
        return schema[1].lower().endswith(kind.value)
    if (collection := path.parts[0].lower()) in ("components", "environments", "models", "data"):
        return collection.rstrip("s") == kind.value
    return kind is AssetKind.COMPONENT and ("jobs" in body or ("command" in body and "environment" in body))


@lru_cache(maxsize=_MOST)
def _read(path: Path, size: int, mtime_ns: int) -> dict[str, Any]:
    """Not to be changed: who asks for the same file gets the same one."""
    del size, mtime_ns  # another size or time is another file
    return document.load(path.read_bytes(), str(path)).data


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return document.load(path.read_bytes(), str(path)).data
    except OSError as error:
        raise Invalid("RegistryFileInvalid", f"'{path}' cannot be read: {error.strerror or error}.") from error
