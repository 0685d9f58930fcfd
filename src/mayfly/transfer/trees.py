"""Folders by content: a tree names every file by the SHA-256 of its bytes, and a tree has such a name itself."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Literal

import msgspec

from mayfly.kit.errors import Broken, Invalid
from mayfly.kit.ids import Digest
from mayfly.transfer.stats import StatCache
from mayfly.wire.agent import Tree, TreeEntry

CHUNK = 1 << 20
"""Bytes read at a time."""
DEEPEST = 200
"""Folders within folders; path lengths and recursion have their ends not far beyond."""
EMPTY = Tree(entries=())
_TOLD_EVERY = 500

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_PLAIN = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*\Z", re.ASCII)
"""What nearly all paths are, and nothing is wrong with: quicker to see than that nothing is."""

Links = Literal["inside", "anywhere", "skip"]
"""What `scan` does with symbolic links. All are followed, as Azure follows them, but:
`inside`: one that leaves the folder, leads nowhere or goes round is refused (code, which must be whole and its own).
`anywhere`: one that leaves the folder is followed when it ends at a file (a person's own data).
`skip`: whatever cannot be followed inside the folder is left out and named in `Scan.skipped`, whatever cannot be read
or carried in `Scan.lost` (a job's outputs)."""

Ignored = Callable[[str, bool], bool]
"""(path relative to the folder, whether it is a folder) → leave it out."""


@dataclass(frozen=True)
class Scan:
    tree: Tree
    files: dict[Digest, str] = field(default_factory=dict)
    """Where the bytes lie; one path for each content."""
    total_bytes: int = 0
    """Over all entries, equal contents counted each time."""
    skipped: tuple[str, ...] = ()
    """Relative paths left out because they are no files: sockets, pipes, devices, and links under `skip`."""
    lost: tuple[str, ...] = ()
    """Under `skip`: files that could not be read or carried, each with the reason."""
    read: frozenset[Digest] | None = field(default=None, compare=False)
    """Contents that were read for this scan; the others are as they were at an earlier one. None: all of them were."""

    @cached_property
    def digest(self) -> Digest:
        return digest_of(self.tree)


# --- names ------------------------------------------------------------------------------------------------------------


def canonical(tree: Tree) -> bytes:
    """The bytes whose SHA-256 names the tree: compact UTF-8 JSON, keys sorted, defaults left out."""
    return msgspec.json.encode(tree, order="sorted")


def digest_of(tree: Tree) -> Digest:
    return Digest(hashlib.sha256(canonical(tree)).hexdigest())


def decode(data: bytes) -> Tree:
    """Read and check a tree that somebody else made. Raises Invalid `TreeInvalid`."""
    try:
        tree = msgspec.json.decode(data, type=Tree)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid("TreeInvalid", f"This is not a file list: {error}.") from error
    check(tree)
    return tree


def check(tree: Tree) -> None:
    """Raises Invalid `TreeInvalid` unless every path stays inside the folder, the entries are sorted and none is twice,
    and no file is also a folder."""
    files: set[str] = set()
    before: str | None = None
    for entry in tree.entries:
        _check_path(entry.path)
        if not _DIGEST.match(entry.digest) or entry.size < 0:
            raise Invalid("TreeInvalid", f"'{entry.path}' has no valid digest and size.")
        if before is not None and entry.path <= before:
            problem = "is there twice" if entry.path == before else "is not in its place in the order"
            raise Invalid("TreeInvalid", f"'{entry.path}' {problem}.")
        before = entry.path
        files.add(entry.path)
    for entry in tree.entries:
        parent = entry.path.rpartition("/")[0]
        while parent:
            if parent in files:
                raise Invalid("TreeInvalid", f"'{parent}' is both a file and a folder.")
            parent = parent.rpartition("/")[0]


def _sound(path: str) -> bool:
    """Whether it is plain to see that nothing is wrong with it."""
    return path.count("/") <= DEEPEST and _PLAIN.match(path) is not None


def _check_path(path: str) -> None:
    if _sound(path):
        return
    if not path or path.startswith("/") or "\\" in path or "\x00" in path:
        raise Invalid("TreeInvalid", f"{path!r} is not a relative path with '/' between its parts.")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise Invalid("TreeInvalid", f"{path!r} has an empty part, '.' or '..'.")
    if path.count("/") > DEEPEST:
        raise Invalid("TreeInvalid", f"'{path[:60]}…' lies more than {DEEPEST} folders deep.")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Invalid("TreeInvalid", f"{path!r} is not Unicode text.") from error


# --- from a folder ----------------------------------------------------------------------------------------------------


def scan(
    folder: Path,
    ignored: Ignored | None = None,
    *,
    links: Links = "anywhere",
    cache: StatCache | None = None,
    seen: Callable[[int], None] = lambda _count: None,
) -> Scan:
    """The folder's tree. Empty folders are not kept. `seen` is told now and then how many files there are so far.

    With a cache, a file whose stamp has not changed is not read again; saving the cache is the caller's.
    Raises Invalid `LinkLeavesFolder`, `LinkBroken`, `LinkLoop`, `FileUnreadable`, `FileChanged`, `FileNameInvalid`.
    """
    root = Path(os.path.realpath(folder))
    walk = _Walk(root, ignored or (lambda _path, _is_folder: False), links, cache, seen)
    walk.enter(str(root), "", (str(root),))
    entries = sorted(walk.entries, key=attrgetter("path"))
    size = sum([entry.size for entry in entries])
    skipped, lost = tuple(sorted(walk.skipped)), tuple(sorted(walk.lost))
    return Scan(Tree(entries=tuple(entries)), walk.files, size, skipped, lost, frozenset(walk.read))


def tree_of_file(path: Path, *, cache: StatCache | None = None) -> Scan:
    """A tree of one entry under the file's own name. Raises as `scan` does."""
    _check_name(path.name)
    digest, size, executable = hash_file(str(path), cache)
    return Scan(
        Tree(entries=(TreeEntry(path=path.name, digest=digest, size=size, executable=executable),)),
        {digest: str(path)},
        size,
    )


def hash_file(path: str, cache: StatCache | None = None) -> tuple[Digest, int, bool]:
    """Digest, size and executable bit. Raises Invalid `FileUnreadable`; `FileChanged` when it grows or changes
    meanwhile."""
    try:
        if cache is not None:
            seen = os.stat(path)  # noqa: PTH116 (a Path for each file would double the time)
            if (known := cache.get(path, seen)) is not None:
                return known, seen.st_size, _executable(seen)
        return _read(path, cache)
    except OSError as error:
        raise Invalid(
            "FileUnreadable",
            f"'{path}' cannot be read: {error.strerror or error}.",
            remedy="Make it readable, or leave it out with a line in .amlignore.",
        ) from error


def _read(path: str, cache: StatCache | None) -> tuple[Digest, int, bool]:
    """As `hash_file`, of one that is not known. Raises OSError."""
    with open(path, "rb") as file:
        before = os.fstat(file.fileno())
        digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Invalid(
            "FileChanged", f"'{path}' changed while it was read.", remedy="Try again when nothing writes to it."
        )
    if cache is not None:
        cache.put(path, before, digest)
    return digest, before.st_size, _executable(before)


_HAS_MODES, _X = os.name != "nt", stat.S_IXUSR


def _executable(found: os.stat_result) -> bool:
    return _HAS_MODES and found.st_mode & _X != 0


_BY_FOLDER = os.scandir in os.supports_fd
"""Whether files can be looked at from the folder that they lie in, which is quicker the longer its path is."""


@dataclass(slots=True)
class _Walk:
    root: Path
    ignored: Ignored
    links: Links
    cache: StatCache | None
    seen: Callable[[int], None]
    entries: list[TreeEntry] = field(default_factory=list)
    files: dict[Digest, str] = field(default_factory=dict)
    read: set[Digest] = field(default_factory=set)
    skipped: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def give_up(self, relative: str, error: Invalid) -> None:
        """Raises the error, but under `skip`, where one file must not cost the others."""
        if self.links != "skip":
            raise error
        self.lost.append(f"'{relative}' ({error.message})")

    def enter(self, folder: str, prefix: str, above: tuple[str, ...]) -> None:
        """`above`: the real paths of the folders we are in, to see a loop. Paths are texts here: making a `Path` of each
        costs more than looking at the file."""
        if len(above) > DEEPEST:
            deep = f"It lies more than {DEEPEST} folders deep."
            self.give_up(prefix[:60] + "…", Invalid("FileNameInvalid", deep, remedy="Move it up."))
            return
        try:
            there = self._list(folder, prefix)
        except OSError as error:
            why = Invalid("FileUnreadable", f"'{folder}' cannot be read: {error.strerror or error}.")
            self.give_up(prefix, why)
            return
        entries, files, plain = self.entries, self.files, _PLAIN.match
        before, base = len(entries), folder + os.sep
        known = self.cache.get if self.cache is not None else _unknown
        sound = _sound(prefix + "a")
        for name, entry, found in there:  # this runs for each file, and mostly finds that nothing has changed
            path = base + name
            if found is None:
                self._judge(entry, prefix + name, path, above)
            elif sound and plain(name) and (digest := known(path, found)) is not None:
                size, executable = found.st_size, _HAS_MODES and found.st_mode & _X != 0
                entries.append(TreeEntry(path=prefix + name, digest=digest, size=size, executable=executable))
                files.setdefault(digest, path)
            else:
                self._take(prefix + name, path)
        if len(entries) // _TOLD_EVERY > before // _TOLD_EVERY:
            self.seen(len(entries))

    def _list(self, folder: str, prefix: str) -> list[tuple[str, os.DirEntry[str], os.stat_result | None]]:
        """What lies in a folder, by name; plain files as they are now, without those that are left out. Raises OSError."""
        there: list[tuple[str, os.DirEntry[str], os.stat_result | None]] = []
        ignored = self.ignored
        at: int | str = os.open(folder, os.O_RDONLY) if _BY_FOLDER else folder
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    name, found = entry.name, None
                    if entry.is_file(follow_symlinks=False):
                        if ignored(prefix + name, False):
                            continue
                        try:
                            found = entry.stat() if _BY_FOLDER else os.stat(entry.path)  # noqa: PTH116
                        except OSError:
                            pass  # who reads it will say what is wrong
                    there.append((name, entry, found))
        finally:
            if isinstance(at, int):
                os.close(at)
        there.sort(key=itemgetter(0))
        return there

    def _judge(self, entry: os.DirEntry[str], relative: str, path: str, above: tuple[str, ...]) -> None:
        """What is no plain file, or could not be looked at."""
        target: str | None = path
        if entry.is_symlink():
            target = self._follow(Path(path), relative, above)
        if target is None:
            return
        if entry.is_dir(follow_symlinks=False) or os.path.isdir(target):  # noqa: PTH112
            if not self.ignored(relative, True):
                self.enter(target, relative + "/", (*above, os.path.realpath(target)))
        elif self.ignored(relative, False):
            return
        elif os.path.isfile(target) or entry.is_file(follow_symlinks=False):  # noqa: PTH113
            self._take(relative, target)
        else:
            self.skipped.append(relative)

    def _take(self, relative: str, path: str) -> None:
        try:
            _check_name(relative)
            digest, size, executable = hash_file(path, self.cache)
        except Invalid as error:
            self.give_up(relative, error)
            return
        self.entries.append(TreeEntry(path=relative, digest=digest, size=size, executable=executable))
        self.files.setdefault(digest, path)
        self.read.add(digest)

    def _follow(self, link: Path, relative: str, above: tuple[str, ...]) -> str | None:
        """Where the link ends; None to leave it out."""
        if self.ignored(relative, False):
            return None
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            loop = isinstance(error, RuntimeError) or error.errno == errno.ELOOP
            code, words = ("LinkLoop", "goes round in a circle") if loop else ("LinkBroken", "leads nowhere")
            return self._odd(code, relative, words)
        is_folder = target.is_dir()
        if is_folder and self.ignored(relative, True):
            return None
        inside = target == self.root or self.root in target.parents
        if is_folder and str(target) in above:
            return self._odd("LinkLoop", relative, "leads to a folder that it lies in")
        if not inside and (self.links != "anywhere" or is_folder):
            return self._odd("LinkLeavesFolder", relative, f"leads out of the folder, to '{target}'")
        return str(target)

    def _odd(self, code: str, relative: str, words: str) -> None:
        if self.links != "skip":
            raise Invalid(
                code,
                f"The link '{relative}' in '{self.root}' {words}.",
                remedy="Put the file itself there, or leave the link out with a line in .amlignore.",
            )
        self.skipped.append(relative)


def _unknown(_path: str, _now: os.stat_result) -> None:
    """Of a file, without a cache."""


def _check_name(name: str) -> None:
    try:
        _check_path(name)
    except Invalid as error:
        raise Invalid(
            "FileNameInvalid",
            f"The file name {name!r} cannot be carried: it must be Unicode text without backslashes.",
            remedy="Rename it.",
        ) from error


# --- into a folder ----------------------------------------------------------------------------------------------------

Fetch = Callable[[list[Digest]], Iterable[tuple[Digest, int, Iterator[bytes]]]]
"""Digests → their bytes, as `packs.read` gives them; each once, in any order."""


def materialise(tree: Tree, folder: Path, fetch: Fetch) -> int:
    """Write the tree's files below `folder`, made when missing; the number of bytes written.

    Each file appears whole or not at all; existing files are replaced. Refuses to write through a link that leaves the
    folder. Raises Invalid `TreeInvalid`, `LinkLeavesFolder`; Broken `ContentMismatch`, `ContentMissing`.
    """
    check(tree)
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(os.path.realpath(folder))
    wanted: dict[str, list[TreeEntry]] = {}
    for entry in tree.entries:
        wanted.setdefault(entry.digest, []).append(entry)
    written = 0
    if wanted:
        for digest, _size, chunks in fetch([Digest(digest) for digest in wanted]):
            entries = wanted.pop(digest, None)
            if entries is None:
                continue
            first = _place(root, entries[0])
            written += _write(first, digest, chunks, entries[0].executable)
            for entry in entries[1:]:
                with first.open("rb") as source:
                    again = iter(lambda: source.read(CHUNK), b"")
                    written += _write(_place(root, entry), digest, again, entry.executable)
    if wanted:
        missing = next(iter(wanted.values()))[0].path
        raise Broken("ContentMissing", f"{len(wanted)} contents were not delivered, the first is '{missing}'.")
    return written


def _place(root: Path, entry: TreeEntry) -> Path:
    path = root.joinpath(*entry.path.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    parent = Path(os.path.realpath(path.parent))
    if parent != root and root not in parent.parents:
        raise Invalid("LinkLeavesFolder", f"'{entry.path}' would be written outside '{root}', through a link.")
    return path


def _write(path: Path, digest: str, chunks: Iterable[bytes], executable: bool) -> int:
    part = path.with_name(f".mayfly-{os.getpid()}-{threading.get_ident()}.part")
    seen, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as file:
            for chunk in chunks:
                seen.update(chunk)
                size += file.write(chunk)
        if seen.hexdigest() != digest:
            raise Broken("ContentMismatch", f"The bytes of '{path}' are not those that were promised.")
        if executable:
            part.chmod(part.stat().st_mode | 0o111)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return size
