from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mayfly.store.sanity import sanity_check
from mayfly.testing.world import Scene, scene


@pytest.fixture
def stage(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    """Real services, store and folders; clock, ids, machines and resolver in hand. After each test every law holds."""
    found = scene(tmp_path, database_url)
    yield found
    broken = found.world.store.read(sanity_check)
    found.world.store.close()
    assert broken == []
