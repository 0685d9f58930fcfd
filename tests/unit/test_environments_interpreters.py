"""Which Python an environment gets."""

from __future__ import annotations

import pytest

from mayfly.domain.interpreters import choose_interpreter
from mayfly.kit.errors import Invalid
from mayfly.ports.resolver import Interpreter

HERE = [Interpreter(f"/python/{version}", version) for version in ("3.11.7", "3.13.0", "3.12.1", "3.8.18")]


@pytest.mark.parametrize(
    ("request_", "asked", "version", "noted"),
    [
        (None, False, "3.11.7", False),
        ("3.12", True, "3.12.1", False),
        (">=3.8,<3.11", True, "3.8.18", False),
        (">=3.8", True, "3.11.7", False),
        (">3.11", True, "3.13.0", False),
        ("~=3.12", True, "3.13.0", False),
        ("!=3.11", False, "3.13.0", False),
        ("<=3.8", True, "3.8.18", False),
        ("3", False, "3.11.7", False),
        ("3.11.9", True, "3.11.7", True),
        ("3.7", False, "3.8.18", True),
        ("2.7", False, "3.8.18", True),
        ("3.10", False, "3.11.7", True),
        ("3.15", False, "3.13.0", True),
    ],
)
def test_choice(request_: str | None, asked: bool, version: str, noted: bool):
    choice = choose_interpreter(request_, asked, HERE)
    assert choice.interpreter.version == version
    assert bool(choice.note) is noted


@pytest.mark.parametrize("request_", ["3.10", ">=3.14", "3.10.2"])
def test_a_python_that_was_asked_for_and_is_not_here_is_refused_by_name(request_: str):
    with pytest.raises(Invalid, match=r"3\.11\.7, 3\.13\.0, 3\.12\.1, 3\.8\.18") as refused:
        choose_interpreter(request_, True, HERE)
    assert refused.value.code == "PythonNotAvailable"


def test_a_version_that_cannot_be_read():
    with pytest.raises(Invalid) as refused:
        choose_interpreter("three", True, HERE)
    assert refused.value.code == "PythonVersionInvalid"


def test_a_machine_without_python():
    with pytest.raises(Invalid) as refused:
        choose_interpreter(None, False, [])
    assert refused.value.code == "PythonNotAvailable"
