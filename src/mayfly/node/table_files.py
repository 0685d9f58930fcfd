"""The files that an MLTable names: below its own folder, or at addresses that the server opens."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mayfly.kit.errors import Invalid

TABLE = "MLTable"
_KINDS = ("file", "folder", "pattern")


@dataclass(frozen=True, slots=True)
class TableFile:
    path: Path
    name: str
    """Relative, '/'-separated: where it lies below the table's folder, or its address without the scheme."""


def files(
    table: Path, paths: Sequence[Any], remote: Callable[[str, int], Path], address: str = ""
) -> Iterator[TableFile]:
    """In the order of the table, those of a folder or a pattern by name. `address`: where the table itself lies.
    Raises Invalid `MltablePathInvalid`, `MltablePathOutside`, `MltablePathNotFound`, `MltableCircular`."""
    for place, entry in enumerate(paths):
        kind, said = _entry(entry)
        if "://" in said and not said.startswith("file://"):
            yield from _remote(kind, said, place, remote, address)
        else:
            yield from _local(table, kind, said)


def _entry(entry: Any) -> tuple[str, str]:
    match entry:
        case {**keys} if len(keys) == 1:
            kind, said = next(iter(keys.items()))
            if kind in _KINDS and isinstance(said, str) and said.strip():
                return kind, said.strip()
    raise Invalid(
        "MltablePathInvalid",
        f"The MLTable names {entry!r} under paths, which is no file, folder or pattern.",
        remedy="Write each as '- file: ./data.csv', '- folder: ./data' or '- pattern: ./*.csv'.",
    )


def _local(table: Path, kind: str, said: str) -> Iterator[TableFile]:
    parts: list[str] = []
    outside = said.startswith(("/", "\\", "~", "file://")) or re.match(r"[A-Za-z]:[\\/]", said) is not None
    for part in said.split("/"):
        if part == ".." and not parts:
            outside = True
        elif part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if outside and set(said.split("/")) <= {"..", ".", ""} and not said.startswith("/"):
        raise circular(said)
    if outside:
        raise Invalid(
            "MltablePathOutside",
            f"The MLTable names '{said}', which lies outside the table's own folder and was not brought with it.",
            remedy="Put the files beside the MLTable file and name them relative to it, or name them by an address.",
        )
    name = "/".join(parts)
    if name in ("", TABLE):
        raise circular(said)
    if kind == "pattern":
        fits = glob(name)
        found = [one for one in walk(table) if fits(one.name) and one.name != TABLE]
    else:
        path = table / name
        if kind == "file" and path.is_file():
            _inside(table, path, said)
            found = [TableFile(path, name)]
        else:
            found = walk(table, name) if path.is_dir() else []
    if not found:
        raise Invalid(
            "MltablePathNotFound",
            f"The MLTable names '{said}', and no such file is in its folder.",
            remedy="Names are relative to the MLTable file, and their case counts.",
        )
    yield from found


def circular(said: str) -> Invalid:
    return Invalid(
        "MltableCircular",
        f"The MLTable names '{said}', which leads back to the table itself.",
        remedy="Name the data alone, such as '- pattern: ./*.csv', or keep it in a folder of its own.",
    )


def walk(root: Path, below: str = "") -> list[TableFile]:
    """The files below a folder of the table, by name. Raises Invalid `MltableCircular` for a link that leads to a
    folder that holds it, `MltablePathOutside` for one that leaves the table."""
    found: list[TableFile] = []
    stack: list[tuple[str, tuple[Path, ...]]] = [(below, ((root / below).resolve(),))]
    while stack:
        name, above = stack.pop()
        with os.scandir(root / name) as scan:
            entries = list(scan)
        for one in entries:
            inner = f"{name}/{one.name}" if name else one.name
            path = root / inner
            if one.is_symlink():
                _inside(root, path, inner)
            if path.is_file():
                found.append(TableFile(path, inner))
            elif path.is_dir():
                real = path.resolve()
                if real in above:
                    raise circular(inner)
                stack.append((inner, (*above, real)))
    return sorted(found, key=lambda one: one.name)


def _inside(root: Path, path: Path, said: str) -> None:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise circular(said) from None
    home = root.resolve()
    if home.is_relative_to(real):
        raise circular(said)
    if not real.is_relative_to(home):
        raise Invalid("MltablePathOutside", f"The MLTable names '{said}', a link that leaves the table's folder.")


def _remote(kind: str, said: str, place: int, remote: Callable[[str, int], Path], address: str) -> Iterator[TableFile]:
    base, fits = said, None
    if kind == "pattern" and "*" in said:
        base = said[: said.index("*")].rpartition("/")[0]
        fits = glob(said[len(base) + 1 :])
    base = base.rstrip("/")
    home = address.rstrip("/")
    own = (home, home.removesuffix(f"/{TABLE}"), f"{home}/{TABLE}")
    if home and (base in own or (fits is None and home.startswith(base + "/"))):
        raise circular(said)
    folder = remote(base, place)
    shown = base.partition("://")[2].partition("?")[0].strip("/")
    inside = [one for one in walk(folder) if fits is None or fits(one.name)]
    if not inside:
        raise Invalid("MltablePathNotFound", f"The MLTable names '{said}', and no file is there.")
    if len(inside) == 1 and fits is None and inside[0].name == shown.rpartition("/")[2]:
        yield TableFile(inside[0].path, _plain(shown))
        return
    for one in inside:
        yield TableFile(one.path, f"{_plain(shown)}/{one.name}")


def _plain(shown: str) -> str:
    return "/".join(part for part in shown.split("/") if part not in ("", ".", "..")) or "data"


def glob(pattern: str) -> Callable[[str], bool]:
    """`*` and `?` stay within a name, `**` crosses folders."""
    made = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern):
        made += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token)
    fits = re.compile(made, re.DOTALL).fullmatch
    return lambda name: fits(name) is not None
