"""The `${{…}}` grammar: path look-up only, no operators (semantics §3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mayfly.kit.errors import Invalid

_REFERENCE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
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
    found = []
    for match in _REFERENCE.finditer(text):
        found.append(_reference(match))
    rest = _REFERENCE.sub("", text)
    if "${{" in rest:
        raise Invalid("ExpressionInvalid", "'${{' is never closed.", remedy="Write ${{inputs.name}}.")
    return tuple(found)


def render(text: str, value: Callable[[Reference], str]) -> str:
    """Replace each reference by `value(reference)`. `$VAR`, `${VAR}` and `$RANK` are the shell's and stay."""
    return _REFERENCE.sub(lambda match: value(_reference(match)), text)


def _reference(match: re.Match[str]) -> Reference:
    inner = match.group(1).strip()
    if not _PATH.match(inner):
        raise Invalid(
            "ExpressionInvalid",
            f"'{match.group(0)}' is not a reference: only dotted names such as ${{{{inputs.data}}}} are understood.",
        )
    return Reference(tuple(inner.split(".")), match.start())
