"""The histories of `tests/property`, fewer of them, played on the services themselves over a real store."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from mayfly.testing.chance import seed
from mayfly.testing.databases import Databases
from mayfly.testing.histories.hunt import hunt
from mayfly.testing.histories.stored import StoredServer

SEED = seed()
EACH = 3


@pytest.mark.parametrize("part", range(4))
def test_every_promise_holds_over_a_store(part: int) -> None:
    first = SEED + part * EACH
    story = hunt(range(first, first + EACH), StoredServer)
    assert story is None, f"{story}\nAgain: scripts/soak stored --seed {story.seed} --stored 1"


def test_every_promise_holds_over_each_kind_of_database(database: str, databases: Databases, tmp_path: Path) -> None:
    url = databases.fresh(database, tmp_path)
    story = hunt([SEED], partial(StoredServer, url=url))
    databases.drop(url)
    assert story is None, str(story)
