"""Which files of a code folder stay at home: `.amlignore`, else `.gitignore`, in the folder's root only (semantics §16).

As in Azure each file is judged by its own path and the last matching line wins; so, unlike in git, a `!` line brings a
file back even from a folder that an earlier line names. `.git` stays at home unless a line `!.git` says otherwise:
every git command changes it, and its configuration may hold a password.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec, PathSpec

from mayfly.kit.errors import Invalid

NAMES = (".amlignore", ".gitignore")
_ALWAYS = (".git",)


Lines = tuple[tuple[Callable[[str], object], bool], ...]
"""What finds a path in a line, and whether it is then left out; the last line first. `PathSpec.match_file` takes three times as
long for each path, most of it for what a relative path with '/' in it needs not."""


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    source: str | None
    """The file the rules came from, '.amlignore' or '.gitignore'; None when there is neither."""
    lines: Lines
    prunes: bool
    """Whether an ignored folder may be left out unseen (no line brings anything back)."""

    def ignored(self, relative_path: str, is_folder: bool = False) -> bool:
        """Whether to leave it out. Of a folder it may say no although every file in it will be left out."""
        if is_folder:
            if not self.prunes:
                return False
            relative_path += "/"
        for found, leave_out in self.lines:
            if found(relative_path):
                return leave_out
        return False


def load(folder: Path) -> IgnoreRules:
    """Raises Invalid `IgnoreFileInvalid` when the file cannot be read or has a line that means nothing."""
    for name in NAMES:
        path = folder / name
        if path.is_file():
            return parse(_lines(path), name)
    return parse((), None)


def load_context(folder: Path, dockerfile: str = "Dockerfile") -> IgnoreRules:
    """Which files of a build context stay at home: `<Dockerfile>.dockerignore`, else `.dockerignore`, with docker's own
    rules: a pattern begins at the context's root. The Dockerfile and these files are always sent. Raises Invalid
    `IgnoreFileInvalid`."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = folder / name
        if path.is_file():
            lines = [one for line in _lines(path) if (rooted := _rooted(line)) for one in (rooted, f"{rooted}/**")]
            kept = [*lines, *(f"!/{one}" for one in (posixpath.normpath(dockerfile), name))]
            try:
                return IgnoreRules(name, _compiled(kept), prunes=False)
            except ValueError as error:
                raise Invalid("IgnoreFileInvalid", f"{path.name}: {error}") from error
    return IgnoreRules(None, (), prunes=False)


def _rooted(line: str) -> str:
    """A line of a `.dockerignore` as one of a `.gitignore`."""
    line = line.strip()
    if not line or line.startswith("#"):
        return ""
    sign, pattern = ("!", line[1:].strip()) if line.startswith("!") else ("", line)
    pattern = posixpath.normpath(pattern.lstrip("/") or ".")
    return "" if pattern == "." else f"{sign}/{pattern}"


def parse(lines: Iterable[str], source: str | None) -> IgnoreRules:
    kept = [line.rstrip() for line in lines]
    try:
        compiled = _compiled([*_ALWAYS, *kept])
    except ValueError as error:
        raise Invalid("IgnoreFileInvalid", f"{source}: {error}") from error
    return IgnoreRules(source, compiled, not any(line.lstrip().startswith("!") for line in kept))


def _compiled(lines: Iterable[str]) -> Lines:
    """Raises ValueError for a line that means nothing."""
    patterns: list[Any] = list(PathSpec.from_lines("gitignore", lines).patterns)
    return tuple((one.regex.search, one.include) for one in reversed(patterns) if one.include is not None)


def dropped_by_git(folder: Path, kept: Iterable[str]) -> list[str]:
    """Those of `kept` (paths relative to the folder) that git would have left out: by a `.gitignore` that we do not
    read, of a parent up to the repository's root, of the folder itself beside an `.amlignore`, or of a folder in it.
    Empty outside a repository that has none of these. For a note, not for a decision."""
    top = _repository(folder) or folder
    above = folder.relative_to(top).as_posix() if top != folder else ""
    specs: dict[str, GitIgnoreSpec | None] = {}
    judged: dict[str, bool] = {"": _spec_of(top, "", specs) is not None}
    whole = {path: f"{above}/{path}" for path in kept} if above else {path: path for path in kept}
    said = {
        place for place in {path.rpartition("/")[0] for path in whole.values()} if _judged(top, place, specs, judged)
    }
    if not said:
        return []
    return [path for path, one in whole.items() if one.rpartition("/")[0] in said and _git_ignores(top, one, specs)]


def _judged(top: Path, place: str, specs: dict[str, GitIgnoreSpec | None], judged: dict[str, bool]) -> bool:
    """Whether a `.gitignore` of this folder, or of one above it, has a say."""
    if place not in judged:
        above = place.rpartition("/")[0]
        judged[place] = _judged(top, above, specs, judged) or _spec_of(top, place, specs) is not None
    return judged[place]


def _spec_of(top: Path, place: str, specs: dict[str, GitIgnoreSpec | None]) -> GitIgnoreSpec | None:
    if place not in specs:
        specs[place] = _git_spec(top / place)
    return specs[place]


def _git_ignores(top: Path, path: str, specs: dict[str, GitIgnoreSpec | None]) -> bool:
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        shown = "/".join(parts[:depth]) + ("/" if depth < len(parts) else "")
        verdict = None
        for above in range(depth):
            place = "/".join(parts[:above])
            spec = _spec_of(top, place, specs)
            if spec is not None:
                found = spec.check_file(shown[len(place) + 1 :] if place else shown).include
                verdict = verdict if found is None else found
        if verdict:
            return True
    return False


def _git_spec(folder: Path) -> GitIgnoreSpec | None:
    path = folder / ".gitignore"
    if not path.is_file():
        return None
    try:
        return GitIgnoreSpec.from_lines(_lines(path))
    except (ValueError, Invalid):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("IgnoreFileInvalid", f"'{path}' cannot be read: {error}.") from error


def _repository(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return place
    return None
