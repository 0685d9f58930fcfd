"""A job's inputs: where each is brought from, and what the command is given for it (semantics §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mayfly.kit.errors import MayflyError
from mayfly.node import cache, evaluation
from mayfly.node.folders import AttemptFolder, NodeFolder
from mayfly.node.mounts import Mount
from mayfly.node.server import Server
from mayfly.node.sources import TRIES, DataCache, Source, listed
from mayfly.node.steps import passing
from mayfly.wire.agent import Assignment, DataInput

SMALL_BYTES, SMALL_FILES = 32 << 20, 500
"""Up to here fetching all of it is quicker than a mount."""
EVALUATED = ("eval_mount", "eval_download")
COPIED = ("download", "eval_download")
"""The job gets a copy of its own, which it may change."""


@dataclass(slots=True)
class Inputs:
    """Brings one attempt's inputs. `enter` hears how far it is; `check` is called often and may raise. `cannot_mount`:
    why nothing can be streamed here, '' when it can."""

    assignment: Assignment
    node: NodeFolder
    folder: AttemptFolder
    server: Server
    mount: Mount
    remaps: bool
    cannot_mount: str
    keep: tuple[int, ...]
    enter: Callable[[str], None]
    check: Callable[[], None]
    values: dict[str, str] = field(default_factory=dict)
    """Input name → what the command is given."""
    readable: list[tuple[Path, Path]] = field(default_factory=list)
    """(where it lies, where the job sees it)."""
    notes: list[str] = field(default_factory=list)
    streamed: list[str] = field(default_factory=list)

    def bring(self) -> None:
        """All of them; repeatable. Raises MayflyError, OSError, and what `check` raises."""
        streamed: dict[str, tuple[Path, Source]] = {}
        for number, data in enumerate(self.assignment.inputs):
            if data.mode == "direct" and data.address:
                self.values[data.name] = data.address
            elif data.mode in EVALUATED:
                self._evaluated(number, data)
            elif data.tree:
                self._given(data, cache.tree(self.node.cache, data.tree, self.server, self.folder.pins))
            else:
                source = self._source(number, data)
                if data.mode in COPIED or not self._streams(source):
                    self._given(data, self._whole(source, data))
                else:
                    streamed[data.name] = (self._record(number), source)
        if streamed:
            self._streamed(streamed)

    def _record(self, number: int) -> Path:
        return self.folder.record(f"listing-{number}")

    def _source(self, number: int, data: DataInput) -> Source:
        record = self._record(number)
        return listed(self.server, self.assignment.fence, data.name, data.address, record, check=self.check)

    def _streams(self, source: Source) -> bool:
        if source.bytes <= SMALL_BYTES and len(source.entries) <= SMALL_FILES:
            return False
        return not self._cache().has(source)

    def _cache(self) -> DataCache:
        tries = self.assignment.variables.get("AZUREML_DATASET_HTTP_RETRY_COUNT", "")
        most = int(tries) if tries.isascii() and tries.isdecimal() else TRIES
        return DataCache(self.node.cache, self.node.root.parent, self.server, self.check, max(1, most))

    def _whole(self, source: Source, data: DataInput) -> Path:
        return self._cache().whole(
            source, self.folder.pins, lambda text: self.enter(f"{data.name}: {text}"), copies=int(data.mode in COPIED)
        )

    def _given(self, data: DataInput, source: Path) -> None:
        """Show a folder that lies on this machine, or a copy of it."""
        seen = self.folder.inputs / data.name
        if data.mode in COPIED:
            cache.private_copy(source, seen)
            self.values[data.name] = str(_only_file(source, seen) if data.is_file else seen)
            return
        shown = self._shown(data.name, source)
        self.values[data.name] = str(_only_file(source, shown) if data.is_file else shown)

    def _shown(self, name: str, source: Path) -> Path:
        seen = source
        if self.remaps:
            seen = self.folder.inputs / name
            seen.mkdir(exist_ok=True)
        self.readable.append((source, seen))
        return seen

    def _streamed(self, streamed: Mapping[str, tuple[Path, Source]]) -> None:
        why = self.cannot_mount
        if not why:
            try:
                self.mount.serve(self.assignment.fence, streamed, self.keep, self.check)
                passing("mounted")
            except MayflyError as error:
                why = error.message
        files = {data.name: data.is_file for data in self.assignment.inputs}
        for name, (_, source) in streamed.items():
            if not why:
                shown = self._shown(name, self.mount.place / name)
                self.values[name] = str(shown / source.entries[0].path if files[name] else shown)
                self.streamed.append(name)
                continue
            self.notes.append(f"Input '{name}' was copied to the node before the start instead of streamed: {why}.")
            data = next(one for one in self.assignment.inputs if one.name == name)
            self._given(data, self._whole(source, data))

    def _evaluated(self, number: int, data: DataInput) -> None:
        if data.tree:
            table = cache.tree(self.node.cache, data.tree, self.server, self.folder.pins)
        else:
            table = self._whole(self._source(number, data), data)
        target = self.folder.inputs / data.name if data.mode in COPIED else self.folder.root / "evaluated" / data.name

        def remote(address: str, place: int) -> Path:
            """What lies at an address that the table names."""
            record = self.folder.record(f"listing-{number}-{place}")
            source = listed(self.server, self.assignment.fence, data.name, address, record, address, self.check)
            return self._whole(source, data)

        evaluation.evaluate(data.name, table, target, remote, address=data.address, check=self.check)
        if data.mode in COPIED:
            self.values[data.name] = str(target)
        else:
            self.values[data.name] = str(self._shown(data.name, target))


def remount(
    assignment: Assignment, folder: AttemptFolder, mount: Mount, streamed: Sequence[str], keep: tuple[int, ...]
) -> None:
    """Mount again what an earlier agent had mounted, if its server has died since. Raises Broken `MountFailed`."""
    if not streamed:
        return
    places = {data.name: (number, data) for number, data in enumerate(assignment.inputs)}
    inputs = {}
    for name in streamed:
        number, data = places[name]
        record = folder.record(f"listing-{number}")
        inputs[name] = (record, Source(assignment.fence, name, "", data.address, ()))
    mount.serve(assignment.fence, inputs, keep, lambda: None)


def _only_file(source: Path, seen: Path) -> Path:
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    return seen / files[0].relative_to(source) if files else seen
