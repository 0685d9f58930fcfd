"""The kinds of values that Azure's job schema has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from mayfly.kit.errors import Invalid, nearest
from mayfly.kit.units import size_bytes
from mayfly.spec.words import plain


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


_LARGEST_SIZE = 64 << 40


def choice(*allowed: str) -> Callable[[Any], str]:
    """Case-insensitive, camelCase or snake_case (semantics §1.5); gives the canonical snake_case word."""

    def check(value: Any) -> str:
        found = [word for word in allowed if isinstance(value, str) and plain(word) == plain(value)]
        if found:
            return found[0]
        close = nearest(value, allowed) if isinstance(value, str) else None
        raise PydanticCustomError(
            "choice",
            "'{value}' is not one of {allowed}.",
            {
                "value": str(value),
                "allowed": ", ".join(allowed),
                "remedy": f"Did you mean '{close}'?" if close else f"Write one of {', '.join(allowed)}.",
            },
        )

    return check


def wrong(message: str, remedy: str | None = None, code: str = "InvalidValue") -> PydanticCustomError:
    return PydanticCustomError("mayfly", "{text}", {"text": message, "remedy": remedy, "code": code})


def _whole(least: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(f"Expected a whole number, found {show(value)}.", code="WrongType")
        if value < least:
            raise wrong(f"Expected at least {least}, found {value}.")
        if value > 1 << 31:
            raise wrong(f"{value} is too large.")
        return value

    return check


def show(value: Any) -> str:
    """A value as people call it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _size(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(f"Expected a size such as 2g, found {show(value)}.", code="WrongType")
    try:
        count = size_bytes(value)
    except Invalid as error:
        raise wrong(error.message, error.remedy) from error
    if count == 0:
        raise wrong("A size must be greater than 0.")
    if count > _LARGEST_SIZE:
        raise wrong(f"{value[:40]} is too large: no machine has more than 64 TiB of memory.")
    return value.strip()


def _name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}", value):
        raise wrong(
            f"{show(value)} cannot be a job's name.",
            "Use up to 255 letters, digits, '-' and '_', beginning with a letter or digit.",
        )
    return value


def _filled(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise wrong("It is empty.")
    return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, (str, int, float)):
        raise wrong(f"Expected text, a number or true/false, found {show(value)}.", code="WrongType")
    return value


Scalar = Annotated[str | bool | int | float, BeforeValidator(_scalar)]
Count = Annotated[int, BeforeValidator(_whole(1))]
Whole = Annotated[int, BeforeValidator(_whole(0))]
Size = Annotated[str, BeforeValidator(_size)]
Name = Annotated[str, BeforeValidator(_name)]
Filled = Annotated[str, BeforeValidator(_filled)]
Labels = dict[str, Annotated[str, Field(strict=True)] | None]
"""Tags and properties: text only, as in Azure."""
