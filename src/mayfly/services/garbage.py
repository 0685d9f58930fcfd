"""Garbage: outputs and logs past their time, and content that nothing names any more.

Content is given up by reference, after a grace: what was sent or asked for during the last day is left alone, and so is
what a tree of that age holds, because a submission that names it may be on its way.
"""

from __future__ import annotations

from collections.abc import Iterable

from mayfly.kit.clock import Millis
from mayfly.kit.errors import MayflyError
from mayfly.kit.ids import Digest
from mayfly.services.blocks import WEEK_MS
from mayfly.services.world import World
from mayfly.store import jobs, references
from mayfly.store.unit import Unit
from mayfly.transfer import trees
from mayfly.wire import mayfly as wire

GRACE_MS = 24 * 3600 * 1000
_DAY_MS = 24 * 3600 * 1000
_LARGEST_TREE = 32 << 20
_AT_ONCE = 100
_TREE_BEGINS = b'{"entries":'


def collect(world: World, *, dry_run: bool = False, grace_ms: int = GRACE_MS) -> wire.GarbageView:
    """Give up what `retention_days` of the settings says and what nothing needs. `dry_run`: only say what it would be.
    Safe while jobs run and files are sent; may be repeated and interrupted."""
    now = world.clock.now()
    view = wire.GarbageView(dry_run=dry_run, retention_days=world.settings().retention_days)
    given_up = _past_their_time(world, now)
    view.jobs = len(given_up)
    if not dry_run:
        _forget(world, given_up, view)
    view.bytes += world.blocks.prune(Millis(now - WEEK_MS), dry_run=dry_run)
    since = Millis(now - grace_ms)
    needed = _needed(world, since)
    for digest, size, touched in world.content.list():
        if digest in needed or touched >= since:
            view.kept_files += 1
            view.kept_bytes += size
        elif dry_run or world.content.remove(digest, since):
            view.files += 1
            view.bytes += size
    return view


def _past_their_time(world: World, now: Millis) -> list[str]:
    days = world.settings().retention_days
    if days is None:
        return []
    return world.store.read(lambda connection: references.ended_before(connection, Millis(now - days * _DAY_MS)))


def _forget(world: World, ended: list[str], view: wire.GarbageView) -> None:
    """Outputs, then the log files, then their rows: a crash on the way leaves rows that bring the next call here."""
    said = f"Its outputs and logs were given up after {view.retention_days} days (retention_days)."
    for start in range(0, len(ended), _AT_ONCE):
        some = ended[start : start + _AT_ONCE]

        def keep(unit: Unit, some: list[str] = some) -> None:
            references.give_up_outputs(unit, some)
            for job in some:
                row = jobs.lock(unit, job)
                if row is not None and said not in row.notes:
                    jobs.add_note(unit, row, said)

        world.store.write(keep)
        view.log_bytes += sum(world.logs.remove(job) for job in some)
        world.store.write(lambda unit, some=some: references.give_up_logs(unit, some))


def _needed(world: World, since: Millis) -> set[str]:
    """What the rows name, and what lies in every tree that they name or that is still within its grace."""
    needed = world.store.read(references.digests)
    fresh = [digest for digest, _, touched in world.content.list() if touched >= since and digest not in needed]
    inside: set[str] = set()
    for digest in _here(world, [*needed, *fresh]):
        inside.update(_inside(world, digest))
    return needed | inside


def _here(world: World, digests: Iterable[str]) -> list[Digest]:
    """Those that are content at all."""
    known = [Digest(digest) for digest in digests]
    return [digest for digest in known if world.content.has(digest)]


def _inside(world: World, digest: Digest) -> set[str]:
    """What a tree names; nothing for content that is no tree."""
    if world.content.size(digest) > _LARGEST_TREE:
        return set()
    chunks = world.content.open(digest)
    first = next(iter(chunks), b"")
    if not first.startswith(_TREE_BEGINS):
        return set()
    try:
        return {entry.digest for entry in trees.decode(first + b"".join(chunks)).entries}
    except MayflyError:
        return set()
