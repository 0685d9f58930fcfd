"""Failures that a person will read: what happened, where, and the smallest change that would help.

Each has a stable `code` (CamelCase, as Azure's error codes are). Which HTTP status a kind becomes is decided in
`api.problems`; which exit status, in `cli.show`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong. `pointer` is a JSON pointer into the document the user wrote ("" is the whole document)."""

    code: str
    message: str
    pointer: str | None = None
    remedy: str | None = None


class MayflyError(Exception):
    """Base of every failure that is reported rather than crashed on."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        remedy: str | None = None,
        pointer: str | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.pointer = pointer
        self.faults: tuple[Fault, ...] = tuple(faults)

    def all_faults(self) -> tuple[Fault, ...]:
        """Every fault this error carries; itself when it carries no list."""
        return self.faults or (Fault(self.code, self.message, self.pointer, self.remedy),)


class Invalid(MayflyError):
    """What was asked cannot be right, whatever the state of the world."""


class Denied(MayflyError):
    """The caller is unknown (no or a wrong token)."""


class Forbidden(MayflyError):
    """The caller is known and may not."""


class NotFound(MayflyError):
    """No such thing."""


class Conflict(MayflyError):
    """It clashes with what exists: a name reused with another definition, a stale fence."""


class Refused(MayflyError):
    """Understood and legal, but the state of the world forbids it: quota outcomes A, B and D, size of the fleet."""


class Unavailable(MayflyError):
    """Not now; the same request may succeed later."""


class Broken(MayflyError):
    """Something on our side failed: an environment build, a lost node, a full disk."""


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """The candidate most like `word`, or None when none is close (edit distance at most a third of its length, ≥ 1)."""
    best, distance = None, 1 << 30
    for candidate in candidates:
        found = _edits(word.lower(), candidate.lower())
        if found < distance:
            best, distance = candidate, found
    return best if best is not None and distance <= max(1, max(len(word), len(best)) // 3) else None


def _edits(left: str, right: str) -> int:
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
