from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mayfly.testing.chance import VARIABLE, seed
from mayfly.testing.databases import Databases, kinds


def pytest_configure() -> None:
    seed()  # before other processes are made, which inherit it


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take long begins first, so that no worker is left alone with it at the end."""
    items.sort(key=_may_take, reverse=True)


def _may_take(item: pytest.Item) -> float:
    allowed = item.get_closest_marker("timeout")
    return float(allowed.args[0]) if allowed else 0.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"What was drawn at random: {VARIABLE}={seed()}")
    if not os.environ.get("MFE_JSON"):
        terminalreporter.write_line(
            "Not checked: whether answers are as Azure's public 2024-10-01 mfe.json says. MFE_JSON names no such file."
        )


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    found = Databases(tmp_path_factory.mktemp("databases"))
    yield found
    found.close()


@pytest.fixture(params=kinds())
def database(request: pytest.FixtureRequest) -> str:
    """Every kind that is here."""
    return request.param


@pytest.fixture
def database_url(database: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A fresh database with the newest schema."""
    url = databases.fresh(database, tmp_path)
    yield url
    databases.drop(url)
