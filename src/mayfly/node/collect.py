"""What a job leaves: its artifact root and its named outputs, by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mayfly.node.folders import AttemptFolder
from mayfly.transfer import trees
from mayfly.transfer.trees import Scan
from mayfly.wire.agent import Assignment, OutputManifest, Tree, TreeEntry

DEFAULT = "default"
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Collected:
    outputs: tuple[OutputManifest, ...]
    skipped: tuple[str, ...]
    """Left out on purpose: links that lead out of their folder are never followed."""
    lost: tuple[str, ...]
    """Files that could not be read or carried; they do not cost the others."""

    def note(self) -> str:
        """What a person should know; '' when everything was kept."""
        if self.lost:
            more = f" and {len(self.lost) - _SHOWN} more" if len(self.lost) > _SHOWN else ""
            return f"{len(self.lost)} files could not be kept, the others are: {'; '.join(self.lost[:_SHOWN])}{more}."
        if self.skipped:
            names = ", ".join(self.skipped[:_SHOWN])
            return f"Left out, because they are links out of their folder or no files: {names}."
        return ""


def collect(assignment: Assignment, folder: AttemptFolder, upload: Callable[[Scan], None]) -> Collected:
    """Scan, upload, and name everything. Raises what `upload` raises."""
    found: list[OutputManifest] = []
    skipped: list[str] = []
    lost: list[str] = []
    root = _artifacts(folder)
    for name, scan in ((DEFAULT, root), *((o.name, _named(o.name, folder, root)) for o in assignment.outputs)):
        upload(scan)
        found.append(OutputManifest(name=name, tree=scan.digest, files=len(scan.tree.entries), bytes=scan.total_bytes))
        skipped += [f"{name}: {path}" for path in scan.skipped]
        lost += [f"{name}: {path}" for path in scan.lost]
    return Collected(tuple(found), tuple(dict.fromkeys(skipped)), tuple(dict.fromkeys(lost)))


def _named(name: str, folder: AttemptFolder, root: Scan) -> Scan:
    return root if name == "artifacts" else _scan(folder.outputs / name)


def _artifacts(folder: AttemptFolder) -> Scan:
    parts = {
        "outputs": _scan(folder.code / "outputs"),
        "logs": _scan(folder.code / "logs"),
        "user_logs": _scan(folder.logs),
    }
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
        tuple(f"{name}/{path}" for name, scan in parts.items() for path in scan.lost),
    )


def _scan(folder: Path) -> Scan:
    """Nothing, where the job put a link in place of the folder or removed it."""
    if folder.is_symlink() or not folder.is_dir():
        return Scan(trees.EMPTY, skipped=(".",) if folder.is_symlink() else ())
    return trees.scan(folder, links="skip")
