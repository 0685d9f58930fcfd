from __future__ import annotations

from collections.abc import Iterator

import pytest

from mayfly.store.unit import Store


@pytest.fixture
def woken() -> list[set[str]]:
    """The topics of each wake-up, in order."""
    return []


@pytest.fixture
def store(database_url: str, woken: list[set[str]]) -> Iterator[Store]:
    found = Store(database_url, woken.append)
    yield found
    found.close()
