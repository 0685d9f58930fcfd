"""The parts of `scripts/soak` in which real processes die: each life of `testing/lives.py` at its kill points, one or two
at a time, and storms over many jobs."""

from __future__ import annotations

import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from mayfly.node import steps
from mayfly.store import unit
from mayfly.testing.databases import Databases, kinds
from mayfly.testing.embedded import Embedded
from mayfly.testing.lives import LIVES, pairs
from mayfly.testing.pairs import Pair
from mayfly.testing.storms import storm
from mayfly.testing.trials import lived
from mayfly.testing.upgrades import earlier, upgraded

APART = (
    frozenset() if "an image" in LIVES else frozenset(f"server:build reserved:{side}" for side in ("before", "after"))
)
"""Of images, which need a container engine."""


def declared() -> set[str]:
    """Every persisted step that the code names."""
    server = {f"server:{step}:{side}" for step in unit.STEPS for side in ("before", "after")}
    node = {f"node:{step}" for step in (*steps.STEPS, *steps.DATA_STEPS, steps.JOURNAL_STEP)}
    return (
        server
        | node
        | {f"supervisor:{step}" for step in steps.SUPERVISOR_STEPS}
        | {f"nursery:{step}" for step in steps.NURSERY_STEPS}
    ) - APART


Build = Callable[[Path], AbstractContextManager[Embedded]]
"""Makes what dies, in a folder of its own; nothing runs in it yet."""

HOUSES = ("sqlite", "postgresql", "two servers")


def possible() -> Sequence[str]:
    """The houses that can be made here."""
    return HOUSES if "postgresql" in kinds() else HOUSES[:1]


FOR_TWO = tuple(life for life in LIVES if life != "blobs")
"""Those that two servers are tried with: a storage client speaks to one server, and is not told of another."""


@contextmanager
def building(house: str, *, restarts: bool = False) -> Iterator[Build]:
    """What makes such a house: a server, or two of one database, of which what died is started again at once where it
    `restarts`."""
    with tempfile.TemporaryDirectory(prefix="mayfly-soak-", ignore_cleanup_errors=True) as folder:
        databases = Databases(Path(folder))

        @contextmanager
        def build(place: Path) -> Iterator[Embedded]:
            if house == "sqlite":
                yield Embedded(place)
                return
            url = databases.empty("postgresql", place)
            try:
                yield Embedded(place, url) if house == "postgresql" else Pair(place, url, restarts=restarts)
            finally:
                databases.drop(url)

        try:
            yield build
        finally:
            databases.close()


def kills(seed: int, count: int, say: Callable[[str], None], build: Build, lives: Sequence[str] = ()) -> list[str]:
    """Go through every life (or those named) once without a death, then `count` times with one or two, drawn from all; 0:
    every death that there is, one by one. What did not heal, as stories."""
    chance, came_by, stories = random.Random(seed), dict[str, list[str]](), []
    for life in lives or LIVES:
        found, story = _go_through(life, (), build)
        stories += _told(story, say)
        came_by[life] = found
        say(f"  {life}: {len(found)} kill points")
    if not lives and (missing := declared() - {point for points in came_by.values() for point in points}):
        stories += _told(f"no life comes by {', '.join(sorted(missing))}", say)
    singles = [(life, (point,)) for life, points in came_by.items() for point in points]
    doubles = [(life, pair) for life, points in came_by.items() for pair in pairs(points)]
    drawn = [chance.choice(doubles if chance.random() < 0.3 else singles) for _ in range(count)] or singles
    for life, points in drawn:
        begun = time.monotonic()
        missed, story = _go_through(life, points, build)
        said = "broken" if story else f"not reached: {', '.join(missed)}" if missed else "healed"
        say(f"  {life}, deaths at {' and '.join(points)}: {said} ({time.monotonic() - begun:.0f} s)")
        stories += _told(story, say)
    return stories


def _told(story: str, say: Callable[[str], None]) -> list[str]:
    if not story:
        return []
    say(story)
    return [story]


def storms(seed: int, jobs: int, say: Callable[[str], None], build: Build) -> list[str]:
    """What was said of jobs that is not what happened."""

    def through(one: Embedded) -> tuple[list[str], Counter[str]]:
        return storm(one, seed, jobs)

    found, story = _watched(through, f"a storm of {jobs} jobs, seed {seed}", build)
    if found is None:
        return [story]
    wrong, struck = found
    say(f"  {dict(struck)}")
    return wrong + ([story] if story else [])


def upgrade(revision: str, say: Callable[[str], None]) -> list[str]:
    """What did not survive the change from that commit to the present code."""
    with tempfile.TemporaryDirectory(prefix="mayfly-earlier-") as folder, building("sqlite") as build:
        found = earlier(revision, Path(folder))
        if not found:
            say(f"  this checkout has no commit {revision}: nothing was tried")
            return []
        source = Path(folder) / "src"
        _, story = _watched(lambda one: upgraded(one, source), f"the change from {found}", build)
        return [story] if story else []


def _go_through(life: str, points: Iterable[str], build: Build) -> tuple[list[str], str]:
    """The points it came by, or those of the given that it did not; and the story of what did not heal."""

    def through(one: Embedded) -> tuple[list[str], list[str]]:
        return lived(one, LIVES[life], *points)

    found, story = _watched(through, f"{life} with deaths at {' and '.join(points) or 'nothing'}", build)
    passed, missed = found or ([], [])
    return (missed if points else passed), story


Found = TypeVar("Found")


def _watched(work: Callable[[Embedded], Found], what: str, build: Build) -> tuple[Found | None, str]:
    with tempfile.TemporaryDirectory(prefix="mayfly-soak-", ignore_cleanup_errors=True) as folder:
        found = None
        with build(Path(folder) / "home") as one:
            try:
                found = work(one)
                one.finish()
            except Exception:  # noqa: BLE001 - whatever it was, it is the story
                return found, f"{what}:\n{traceback.format_exc(limit=-6)}\n{one.all_logs()[-3000:]}"
            finally:
                one.end_all()
    return found, ""
