"""Backups: all that a server keeps, copied beside it while it works, and taken in by another one.

Content goes before the rows and what came meanwhile after them, so that all that the rows name is there; and only what is
not there yet, so that the next backup into the same place costs what is new. What was restored begins another epoch: no
fence that is older holds any more, and what still ran is lost to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from mayfly.kit.clock import Millis
from mayfly.kit.errors import NotFound
from mayfly.ports.content import ContentStore
from mayfly.ports.logs import LogStore
from mayfly.store import dump, logs, schema
from mayfly.store.unit import Store

_CHUNK = 1 << 20
_EPOCHS_SINCE = 1_767_225_600
"""2026-01-01 in seconds: a later restore has a larger epoch, also of two from one backup."""

Told = Callable[[str, int, int], None]
"""Given what is copied, how much of it is done and how much there is."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes beside the rows."""

    content: ContentStore
    logs: LogStore


def make(store: Store, source: Kept, target: Kept, keep: Callable[[Iterator[str]], object], told: Told) -> str:
    """Copy what is not in `target` yet; `keep` is given the rows as lines. The version of their schema."""
    _copy_content(source.content, target.content, told)
    version = dump.lines(store, keep)
    _copy_content(source.content, target.content, told)
    _copy_logs(store, source.logs, target.logs, told)
    return version


def restore_content(source: ContentStore, target: ContentStore, told: Told) -> None:
    """What the rows will name; before them, so that a restore that was cut off can be begun again."""
    _copy_content(source, target, told)


def restore_rows(store: Store, version: str, rows: Callable[[], Iterable[str]], count: int, now: Millis) -> int:
    """Fill an empty store; the epoch that begins. Raises as `dump.take_in`."""
    epoch = dump.take_in(store, version, rows, count, now // 1000 - _EPOCHS_SINCE)
    schema.upgrade(store)
    return epoch


def _copy_content(source: ContentStore, target: ContentStore, told: Told) -> None:
    here = {digest: size for digest, size, _ in source.list()}
    for digest, _, _ in target.list():
        here.pop(digest, None)
    for done, digest in enumerate(here):
        told("content", done, len(here))
        with suppress(NotFound):  # nobody needed it any more, and it went meanwhile
            target.put(digest, source.open(digest))
    told("content", len(here), len(here))


def _copy_logs(store: Store, source: LogStore, target: LogStore, told: Told) -> None:
    """As much of each as the rows know by now; what comes later comes with the next backup."""
    files = store.read(logs.every)
    for done, (job, attempt, rank, file) in enumerate(files):
        told("logs", done, len(files))
        size = target.size(job, attempt, rank, file)
        while data := source.read(job, attempt, rank, file, size, _CHUNK):
            size = target.append(job, attempt, rank, file, size, data)
        target.seal(job, attempt, rank, file)
    told("logs", len(files), len(files))
