"""The table of mutants does not rot: each still takes out what it says, and its tests are there."""

from __future__ import annotations

import random
import re

import pytest
from mutant_table import MUTANTS, PROMISES, Mutant

from mayfly.testing.chance import seed
from mutants import BEGIN, END, ROOT, changed, chosen, judge, table

SEED = seed()


def is_there(test: str) -> bool:
    """Whether a test of that id exists: in its file, or in the suite that its class inherits."""
    file, _, name = test.partition("::")
    owner, _, function = name.rpartition("::")
    text = (ROOT / file).read_text()
    if not owner:
        return not name or re.search(rf"^def {function}\(", text, re.MULTILINE) is not None
    suite = re.search(rf"^class {owner}\((\w+)\):", text, re.MULTILINE)
    suites = "".join(path.read_text() for path in (ROOT / "src/mayfly/testing").glob("*.py"))
    return suite is not None and f"class {suite[1]}:" in suites and f"    def {function}(" in suites


def test_the_page_for_operators_has_the_table_as_it_is() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table().strip(), "scripts/mutants --table"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_it_replaces_stands_there_once_and_its_tests_exist(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    compile(changed(mutant, text), mutant.file, "exec")
    assert changed(mutant, text) != text and mutant.promise in PROMISES and mutant.tests
    for test in mutant.tests:
        assert is_there(test), test


def test_names_tell_them_apart() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) and not set(names) & set(PROMISES)
    assert {mutant.promise for mutant in MUTANTS} == set(PROMISES)
    assert chosen([names[0]]) == [MUTANTS[0]] and chosen([]) == list(MUTANTS)
    with pytest.raises(ValueError, match="no mutant and no promise nonsense"):
        chosen(["nonsense"])


def test_one_of_them_is_caught() -> None:
    """Another one in every run; `scripts/mutants` tries them all."""
    mutant = random.Random(SEED).choice([mutant for mutant in MUTANTS if not mutant.slow])
    assert judge(mutant) == [], f"{mutant.name}; again: scripts/mutants '{mutant.name}'"


def test_a_mutant_that_is_none_is_not_caught() -> None:
    guard = next(mutant for mutant in MUTANTS if mutant.name == "a digest is a digest")
    harmless = Mutant(
        "harmless", guard.promise, guard.file, guard.find, guard.find + "            # nothing\n", guard.tests
    )
    (why,) = judge(harmless)
    assert "did not fail" in why


def test_a_replacement_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="stands 0 times"):
        changed(Mutant("x", "fence", "a.py", "not there", "", ()), "text")
