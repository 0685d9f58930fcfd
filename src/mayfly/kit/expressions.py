"""The `${{…}}` grammar: path look-up only, no operators (semantics §3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mayfly.kit.errors import Invalid

_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """`${{inputs.x}}` is Reference(("inputs", "x")). `start` is its offset in the text."""

    path: tuple[str, ...]
    start: int

    def __str__(self) -> str:
        return "${{" + ".".join(self.path) + "}}"


def references(text: str) -> tuple[Reference, ...]:
    """Every reference in order. Raises Invalid `ExpressionInvalid` on `${{` with anything but a path inside."""
    found = tuple(_reference(text, start, end) for start, end in _places(text))
    rest = text[_places(text)[-1][1] :] if found else text
    if "${{" in rest:
        raise Invalid("ExpressionInvalid", "'${{' is never closed.", remedy="Write ${{inputs.name}}.")
    return found


def render(text: str, value: Callable[[Reference], str]) -> str:
    """Replace each reference by `value(reference)`. `$VAR`, `${VAR}` and `$RANK` are the shell's and stay. What a value
    brings is not looked at again."""
    parts, done = [], 0
    for start, end in _places(text):
        parts += [text[done:start], value(_reference(text, start, end))]
        done = end
    return "".join([*parts, text[done:]])


def _places(text: str) -> list[tuple[int, int]]:
    """Where each `${{…}}` begins and ends, in a time that grows with the text only: a pattern's would with its square."""
    found, end = [], 0
    while (start := text.find("${{", end)) >= 0 and (close := text.find("}}", start + 3)) >= 0:
        end = close + 2
        found.append((start, end))
    return found


def _reference(text: str, start: int, end: int) -> Reference:
    inner = text[start + 3 : end - 2].strip()
    if not _PATH.match(inner):
        whole = text[start:end] if end - start <= 80 else text[start : start + 77] + "…"
        raise Invalid(
            "ExpressionInvalid",
            f"'{whole}' is not a reference: only dotted names such as ${{{{inputs.data}}}} are understood.",
        )
    return Reference(tuple(inner.split(".")), start)
