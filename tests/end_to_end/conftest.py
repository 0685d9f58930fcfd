from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mayfly.testing.databases import HOUSE, Databases
from mayfly.testing.embedded import Embedded, Make


@pytest.fixture(scope="session", autouse=True)
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What one test has downloaded the others, of other workers too, need not download again."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        patch.setenv("UV_CACHE_DIR", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packages"))
        yield


@pytest.fixture
def fresh(tmp_path: Path, databases: Databases) -> Iterator[Make]:
    """Makes an embedded server's folder; nothing runs in it yet."""
    made: list[Embedded] = []

    def make(database: str = "", **environ: str) -> Embedded:
        place = tmp_path / f"home-{len(made)}"
        house = database or ("" if HOUSE == "sqlite" else databases.empty(HOUSE, place))
        made.append(Embedded(place, house, **environ))
        return made[-1]

    yield make
    for one in made:
        one.finish()


@pytest.fixture
def embedded(fresh: Make) -> Embedded:
    """A server of the test's own."""
    one = fresh()
    one.start()
    return one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server for all tests of a module that leave it as it was."""
    one = Embedded(tmp_path_factory.mktemp("shared"))
    one.start()
    yield one
    one.finish()
