"""What a job file points to, scanned and sent as far as the server lacks it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mayfly.client.jobfile import JobFile
from mayfly.kit.errors import Fault, Invalid, MayflyError, Unavailable
from mayfly.kit.ids import Digest
from mayfly.spec.paths import LocalPath
from mayfly.transfer import ignore, includes, trees
from mayfly.transfer.stats import StatCache
from mayfly.transfer.trees import Scan

ASKED_AT_ONCE = 5_000
"""Digests in one question."""
PACK_BYTES = 64 << 20
"""A pack is closed when it has at least this much; what one holds is never sent again when a later one fails."""
EMPTY = Scan(trees.EMPTY)
ROUNDS = 3
"""How often a broken upload is taken up again."""

Progress = Callable[[str, int, int], None]
"""What is sent ('code', 'inputs.data'), bytes so far, bytes in all."""
Looking = Callable[[int], None]
"""How many files were looked at so far; told now and then."""


class ContentDoors(Protocol):
    def missing(self, digests: Sequence[Digest]) -> list[Digest]: ...

    def store(self, items: Iterable[tuple[Digest, int, Iterable[bytes]]]) -> int: ...

    def put_tree(self, digest: Digest, canonical: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Sent:
    digest: Digest
    is_file: bool
    """Whether it is a single file rather than a folder."""


def upload(
    job_file: JobFile,
    wanted: Mapping[str, LocalPath],
    doors: ContentDoors,
    progress: Progress,
    *,
    cache: Path | None,
    say: Callable[[str], None],
    looking: Looking,
    lacking: Callable[[], None],
) -> dict[str, Sent]:
    """All that is wanted, by its pointer. `lacking` is called before anything is sent."""
    stats = StatCache(cache) if cache is not None else None
    with tempfile.TemporaryDirectory(prefix="mayfly-") as scratch:
        look, scans, seen = _Look(stats, say, looking), {}, {}
        for pointer, path in wanted.items():
            # steps share their code
            same = (path, tuple(job_file.includes(pointer)) if path.kind == "code" else ())
            if same not in seen:
                seen[same] = _scan(job_file, pointer, path, look, Path(scratch))
            scans[pointer] = seen[same]
        if stats is not None:
            stats.save()
        for pointer, scan in {scan.digest: (pointer, scan) for pointer, (scan, _) in scans.items()}.values():
            send(scan, doors, _what(pointer), progress, lacking)
    return {pointer: Sent(scan.digest, is_file) for pointer, (scan, is_file) in scans.items()}


def scan_code(
    folder: Path, stats: StatCache | None = None, looking: Looking = lambda _files: None
) -> tuple[Scan, list[str]]:
    """The snapshot of a code folder, and the notes about it. Links out of it are refused."""
    rules = ignore.load(folder)
    scan = trees.scan(folder, rules.ignored, links="inside", cache=stats, seen=looking)
    notes = []
    dropped = ignore.dropped_by_git(folder.resolve(), [entry.path for entry in scan.tree.entries])
    if dropped:
        shown = ", ".join(dropped[:3]) + (f" and {len(dropped) - 3} more" if len(dropped) > 3 else "")
        source = rules.source or "nothing (there is no .amlignore or .gitignore in the code folder)"
        notes.append(f"code: git would leave out {shown}; the snapshot follows {source}")
    if scan.skipped:
        notes.append(f"code: left out, being no files: {', '.join(scan.skipped[:3])}")
    return scan, notes


def scan_context(
    folder: Path,
    dockerfile: str,
    stats: StatCache | None = None,
    looking: Looking = lambda _files: None,
) -> Scan:
    """A build context, without what its `.dockerignore` names. Links out of it are refused. Raises Invalid
    `DockerfileMissing` and what `trees.scan` raises."""
    if not (folder / dockerfile).is_file():
        raise Invalid(
            "DockerfileMissing",
            f"There is no file '{dockerfile}' in '{folder}'.",
            remedy="Name it with 'dockerfile_path', relative to 'path'.",
        )
    rules = ignore.load_context(folder, dockerfile)
    return trees.scan(folder, rules.ignored, links="inside", cache=stats, seen=looking)


def send(
    scan: Scan, doors: ContentDoors, what: str, progress: Progress, lacking: Callable[[], None] = lambda: None
) -> None:
    """Send what the server lacks of a tree. May be called again; a broken connection is taken up where it broke.
    Raises what the doors raise."""
    for attempt in range(1, ROUNDS + 1):
        try:
            return _send(scan, doors, what, progress, lacking)
        except Unavailable as error:
            if attempt == ROUNDS or error.code == "ServerUnreachable":
                raise
    return None


def _send(scan: Scan, doors: ContentDoors, what: str, progress: Progress, lacking: Callable[[], None]) -> None:
    if not doors.missing([scan.digest]):
        return  # a tree is kept only where all its contents are
    lacking()
    fresh = [digest for digest in scan.files if scan.read is None or digest in scan.read]
    try:  # what was sent with an earlier tree is probably there: asking costs as much for it as for what is new
        _send_some(fresh, scan, doors, what, progress)
        doors.put_tree(scan.digest, trees.canonical(scan.tree))
    except MayflyError as error:
        if error.code != "BlobsMissing" or len(fresh) == len(scan.files):
            raise
        _send_some(list(scan.files), scan, doors, what, progress)
        doors.put_tree(scan.digest, trees.canonical(scan.tree))


def _send_some(digests: list[Digest], scan: Scan, doors: ContentDoors, what: str, progress: Progress) -> None:
    """Those of them that the server lacks."""
    blobs = list[Digest]()
    for start in range(0, len(digests), ASKED_AT_ONCE):
        blobs += doors.missing(digests[start : start + ASKED_AT_ONCE])
    sizes = {Digest(entry.digest): entry.size for entry in scan.tree.entries}
    total, done = sum(sizes[digest] for digest in blobs), 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        progress(what, done, total)

    for batch in _batches(blobs, sizes):
        doors.store((digest, sizes[digest], _chunks(scan.files[digest], sent)) for digest in batch)


def _batches(digests: list[Digest], sizes: dict[Digest, int]) -> Iterator[list[Digest]]:
    batch: list[Digest] = []
    held = 0
    for digest in digests:
        batch.append(digest)
        held += sizes[digest]
        if held >= PACK_BYTES or len(batch) >= ASKED_AT_ONCE:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _chunks(path: str, sent: Callable[[int], None]) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(trees.CHUNK):
                yield chunk
                sent(len(chunk))
    except OSError as error:
        raise Invalid("FileUnreadable", f"'{path}' cannot be read: {error.strerror or error}.") from error


def _scan(
    job_file: JobFile,
    pointer: str,
    wanted: LocalPath,
    look: _Look,
    scratch: Path,
) -> tuple[Scan, bool]:
    """The second value: whether it is a single file."""
    place = job_file.local(wanted.path)
    try:
        if pointer.endswith("/component/code") and (included := job_file.includes(pointer)):
            scanned = EMPTY if not wanted.path else look.code(place)
            beside = [job_file.local(one) for one in included]
            return includes.added(scanned, beside, look.code, scratch, look.stats), False
        if place.is_file():
            return trees.tree_of_file(place, cache=look.stats), wanted.kind == "file"
        if wanted.kind == "code":
            return look.code(place), False
        if wanted.kind == "build":
            return scan_context(place, wanted.dockerfile, look.stats, look.looking), False
        return trees.scan(place, cache=look.stats, seen=look.looking), False
    except MayflyError as error:
        fault = Fault(error.code, error.message, pointer, error.remedy)
        raise Invalid(error.code, error.message, remedy=error.remedy, pointer=pointer, faults=[fault]) from error


@dataclass(frozen=True, slots=True)
class _Look:
    """What every scan of one submission shares."""

    stats: StatCache | None
    say: Callable[[str], None]
    looking: Looking

    def code(self, place: Path) -> Scan:
        if place.is_file():
            return trees.tree_of_file(place, cache=self.stats)
        scan, notes = scan_code(place, self.stats, self.looking)
        for note in notes:
            self.say(note)
        return scan


def _what(pointer: str) -> str:
    return pointer.strip("/").removesuffix("/path").replace("/", ".")
