"""What a job leaves: its artifact root and its named outputs, by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mayfly.kit.errors import Broken, MayflyError
from mayfly.node.folders import AttemptFolder
from mayfly.transfer import trees
from mayfly.transfer.stats import StatCache
from mayfly.transfer.trees import Scan
from mayfly.wire.agent import Assignment, Fence, NamedOutput, OutputManifest, Tree, TreeEntry

DEFAULT = "default"
ARTIFACTS = "artifacts"
"""A named output of this name is the artifact root itself (semantics §4)."""
_SHOWN = 20
_QUOTE = "'"


class Receiver(Protocol):
    """The part of the server that takes outputs."""

    def upload(self, scan: Scan, refused: set[str] | None = None) -> None: ...

    def upload_small(self, scans: Sequence[Scan]) -> bool: ...

    def publish(self, fence: Fence, rank: int, name: str, tree: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Collected:
    outputs: tuple[OutputManifest, ...]
    skipped: tuple[str, ...]
    """Left out on purpose: links that lead out of their folder are never followed."""
    lost: tuple[str, ...]
    """Files that could not be read or carried; they do not cost the others."""
    unpublished: tuple[str, ...] = ()
    """Outputs that could not be put where they belong outside, each with the reason."""

    @property
    def failed(self) -> bool:
        return bool(self.lost or self.unpublished)

    def note(self) -> str:
        """What a person should know; '' when everything was kept."""
        said = [*self.unpublished]
        if self.lost:
            more = f" and {len(self.lost) - _SHOWN} more" if len(self.lost) > _SHOWN else ""
            said.append(
                f"{len(self.lost)} files could not be kept, the others are: {'; '.join(self.lost[:_SHOWN])}{more}."
            )
        elif self.skipped:
            names = ", ".join(self.skipped[:_SHOWN])
            said.append(f"Left out, because they are links out of their folder or no files: {names}.")
        return " ".join(said)


def collect(
    assignment: Assignment,
    folder: AttemptFolder,
    server: Receiver,
    check: Callable[[], None],
    published: Callable[[], None],
) -> Collected:
    """Scan, upload, name everything, and have published what belongs outside; repeatable. Every file is read anew: what was
    written through a memory map since the last checkpoint need not show in its times. Raises what `server` raises
    while it is away, and what `check` raises."""
    found: list[OutputManifest] = []
    skipped: list[str] = []
    lost: list[str] = []
    unpublished: list[str] = []
    root = artifacts(folder, None, user_logs=True)
    scans = [(DEFAULT, root), *named(assignment, folder, None, lambda output: output.mode != "direct")]
    small = server.upload_small([scan for _, scan in scans])
    for name, scan in scans:
        check()
        if not small:
            server.upload(scan)
        found.append(manifest(name, scan))
        skipped += [f"{name}: {path}" for path in scan.skipped]
        lost += [f"{name}: {path}" for path in scan.lost]
    outside = {output.name: output for output in assignment.outputs if output.outside}
    for one in found:
        if one.name in outside:
            check()
            try:
                server.publish(assignment.fence, assignment.rank, one.name, one.tree)
            except Broken as error:
                unpublished.append(_unpublished(outside[one.name], error))
            else:
                published()
    return Collected(tuple(found), tuple(dict.fromkeys(skipped)), tuple(dict.fromkeys(lost)), tuple(unpublished))


def manifest(name: str, scan: Scan) -> OutputManifest:
    return OutputManifest(name=name, tree=scan.digest, files=len(scan.tree.entries), bytes=scan.total_bytes)


def named(
    assignment: Assignment, folder: AttemptFolder, cache: StatCache | None, wanted: Callable[[NamedOutput], bool]
) -> Iterator[tuple[str, Scan]]:
    """The named outputs as they are now."""
    for output in assignment.outputs:
        if not wanted(output):
            continue
        if output.name == ARTIFACTS:
            yield output.name, artifacts(folder, cache, user_logs=True)
        elif output.is_file:
            yield output.name, _file(folder.outputs / output.name, output.file_name or output.name, cache)
        else:
            yield output.name, _scan(folder.outputs / output.name, cache)


def artifacts(folder: AttemptFolder, cache: StatCache | None, *, user_logs: bool) -> Scan:
    """The artifact root: `outputs/`, `logs/` and, if wanted, `user_logs/`."""
    places = {"outputs": folder.code / "outputs", "logs": folder.code / "logs"}
    if user_logs:
        places["user_logs"] = folder.logs
    parts = {name: _scan(place, cache) for name, place in places.items()}
    entries = [
        TreeEntry(path=f"{name}/{entry.path}", digest=entry.digest, size=entry.size, executable=entry.executable)
        for name, scan in parts.items()
        for entry in scan.tree.entries
    ]
    files = {digest: path for scan in parts.values() for digest, path in scan.files.items()}
    return Scan(
        Tree(entries=tuple(sorted(entries, key=lambda entry: entry.path))),
        files,
        sum(scan.total_bytes for scan in parts.values()),
        tuple(f"{name}/{path}" for name, scan in parts.items() for path in scan.skipped),
        tuple(f"'{name}/{lost.removeprefix(_QUOTE)}" for name, scan in parts.items() for lost in scan.lost),
    )


def _unpublished(output: NamedOutput, error: MayflyError) -> str:
    remedy = f" {error.remedy}" if error.remedy else ""
    place = f" at {output.address}" if output.address else ""
    return f"Output '{output.name}' is kept by Mayfly but could not be put where it belongs{place}: {error.message}{remedy}"


def _file(folder: Path, name: str, cache: StatCache | None) -> Scan:
    """Of a single-file output only that file; all that is there, where the job made something else of it."""
    whole = _scan(folder, cache)
    mine = [entry for entry in whole.tree.entries if entry.path == name]
    if not mine:
        return whole
    others = tuple(entry.path for entry in whole.tree.entries if entry.path != name)
    return replace(whole, tree=Tree(entries=tuple(mine)), total_bytes=mine[0].size, skipped=(*whole.skipped, *others))


def _scan(folder: Path, cache: StatCache | None) -> Scan:
    """Nothing, where the job put a link in place of the folder or removed it."""
    if folder.is_symlink() or not folder.is_dir():
        return Scan(trees.EMPTY, skipped=(".",) if folder.is_symlink() else ())
    return trees.scan(folder, links="skip", cache=cache)
