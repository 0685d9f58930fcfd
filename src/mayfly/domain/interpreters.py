"""Which of a machine's Pythons an environment gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mayfly.kit.errors import Invalid

_CLAUSE = re.compile(r"(~=|===|==|!=|<=|>=|<|>)?\s*(\d+(?:\.\d+)*)(?:\.\*)?(?:rc\d+|a\d+|b\d+)?\Z")


class Found(Protocol):
    """An interpreter of this machine (ports.resolver.Interpreter)."""

    @property
    def path(self) -> str: ...

    @property
    def version(self) -> str: ...


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Choice(Generic[F]):
    interpreter: F
    note: str = ""
    """Not empty when it is another Python than the one wished for."""


def choose_interpreter(request: str | None, asked: bool, available: Sequence[F]) -> Choice[F]:
    """The first of `available` (best first) that satisfies `request` ('3.11', '>=3.8,<3.12', None).

    `asked`: the user's own conda file says so: another patch level of the same minor version will do, with a note;
    without one raises Invalid `PythonNotAvailable` with what there is. Otherwise the version is only implied, and the
    nearest is taken, with a note.
    """
    if not available:
        raise Invalid("PythonNotAvailable", "No usable Python (3.8 or newer) was found on this machine.")
    clauses = _clauses(request)
    fitting = [found for found in available if all(_holds(numbers(found.version), clause) for clause in clauses)]
    if fitting:
        return Choice(fitting[0])
    wished = [clause[1] for clause in clauses]
    best = min(available, key=lambda found: min(_distance(numbers(found.version), target) for target in wished))
    if asked and not any(len(target) > 2 and numbers(best.version)[:2] == target[:2] for target in wished):
        there = ", ".join(dict.fromkeys(found.version for found in available))
        raise Invalid(
            "PythonNotAvailable",
            f"The environment asks for Python {request}; this machine has {there}.",
            pointer="/environment/conda_file/dependencies",
            remedy="Ask for one of these, or install the other Python on the server's machine and submit again.",
        )
    return Choice(best, f"Python {request} is not on this machine; Python {best.version} is used.")


def numbers(version: str) -> tuple[int, ...]:
    """'3.11.7' → (3, 11, 7); letters end it."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)


def _clauses(request: str | None) -> list[tuple[str, tuple[int, ...]]]:
    """Raises Invalid `PythonVersionInvalid`."""
    clauses = []
    for part in filter(None, (piece.strip() for piece in (request or "").split(","))):
        match = _CLAUSE.match(part)
        if match is None:
            raise Invalid(
                "PythonVersionInvalid",
                f"'{request}' is not a version of Python.",
                pointer="/environment/conda_file/dependencies",
                remedy="Write python=3.11 or python>=3.9,<3.12.",
            )
        operator = match[1] or "=="
        clauses.append((operator, numbers(match[2])))
    return clauses


def _holds(version: tuple[int, ...], clause: tuple[str, tuple[int, ...]]) -> bool:
    """Equality is by prefix, as conda has it: 3.11 holds for 3.11.7."""
    operator, target = clause
    same = version[: len(target)] == target
    if operator in ("==", "==="):
        return same
    if operator == "!=":
        return not same
    if operator == "~=":
        return version >= target and version[: len(target) - 1] == target[:-1]
    if operator == ">=":
        return version >= target
    if operator == "<=":
        return version <= target or same
    return version > target and not same if operator == ">" else version < target


def _distance(version: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, int, bool]:
    minor = (*target, *version[len(target) :])[1]
    return abs(version[0] - target[0]), abs(version[1] - minor), version < target
