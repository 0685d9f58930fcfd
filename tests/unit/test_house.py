"""What only shows when two changes meet: names that must be each other's only one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mayfly.store import migrations, schema

TESTS = Path(__file__).parent.parent


def test_modules_of_tests_have_names_of_their_own() -> None:
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_migrations_stand_in_one_line() -> None:
    versions = Path(next(iter(migrations.__path__))) / "versions"
    numbers = sorted(path.name.partition("_")[0] for path in versions.glob("0*.py"))
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert numbers[-1] == schema.HEAD
