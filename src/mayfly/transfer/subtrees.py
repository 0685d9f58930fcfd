"""Parts of trees, and trees put together. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mayfly.wire.agent import Tree, TreeEntry


def part(tree: Tree, path: str) -> tuple[Tree, bool] | None:
    """What lies at a path ('' is all of it), and whether that is a single file; None when nothing is there."""
    if not path:
        return tree, False
    for entry in tree.entries:
        if entry.path == path:
            return Tree(entries=(_renamed(entry, path.rpartition("/")[2]),)), True
    below = f"{path}/"
    found = [_renamed(entry, entry.path[len(below) :]) for entry in tree.entries if entry.path.startswith(below)]
    return (_sorted(found), False) if found else None


def placed(tree: Tree, path: str, *, is_file: bool = False) -> Tree:
    """The tree moved below a path; `is_file`: its one file moved to the path itself."""
    if is_file and len(tree.entries) == 1:
        return Tree(entries=(_renamed(tree.entries[0], path),))
    return _sorted(_renamed(entry, f"{path}/{entry.path}" if path else entry.path) for entry in tree.entries)


def merged(newest_first: Iterable[Tree]) -> Tree:
    """One over the other: a newer file hides an older one of its path, and what cannot lie beside it."""
    kept: dict[str, TreeEntry] = {}
    folders: set[str] = set()
    for tree in newest_first:
        fresh = [one for one in tree.entries if one.path not in folders and not _hidden(one.path, kept)]
        for entry in fresh:
            kept[entry.path] = entry
            folders.update(_parents(entry.path))
    return _sorted(kept.values())


def _hidden(path: str, kept: dict[str, TreeEntry]) -> bool:
    return path in kept or any(parent in kept for parent in _parents(path))


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _renamed(entry: TreeEntry, path: str) -> TreeEntry:
    return msgspec.structs.replace(entry, path=path)


def _sorted(entries: Iterable[TreeEntry]) -> Tree:
    return Tree(entries=tuple(sorted(entries, key=lambda entry: entry.path)))
