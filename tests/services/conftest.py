from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mayfly.store.sanity import sanity_check
from mayfly.testing.chance import drawn
from mayfly.testing.databases import kinds
from mayfly.testing.world import Scene, scene

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A database of one kind for each test here, drawn anew in each run: `tests/store` tries what is asked of both."""
    here = [item for item in items if isinstance(item, pytest.Function) and item.path.is_relative_to(HERE)]
    spared = [item for item in here if getattr(item, "callspec", None) and _spared(item.name, item.callspec.params)]
    if len(spared) < len(here):  # else somebody asked for these alone
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if item not in set(spared)]


def _spared(name: str, params: Mapping[str, object]) -> bool:
    kind = params.get("database")
    return kind is not None and kind not in drawn(f"database {name.replace(str(kind), '')}", kinds())


@pytest.fixture
def stage(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    """Real services, store and folders; clock, ids, machines and resolver in hand. After each test every law holds."""
    found = scene(tmp_path, database_url)
    yield found
    broken = found.world.store.read(sanity_check)
    found.world.store.close()
    assert broken == []
