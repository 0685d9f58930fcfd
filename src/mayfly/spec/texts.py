"""What no text of a job may be, because no machine could be given it: not Unicode, a NUL in it, too long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mayfly.kit.errors import Fault
from mayfly.spec.document import escape

LONGEST = 128 * 1024 - 1024
"""Bytes. Linux takes 128 KiB in one argument or variable of a process."""
_PASSED_ON = ("command", "inputs", "environment_variables")


def check(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the texts in `data`, keys included."""
    yield from _look(data, "")


def _look(value: Any, pointer: str) -> Iterator[Fault]:
    if isinstance(value, str):
        yield from _text(value, pointer)
    elif isinstance(value, Mapping):
        for key, below in value.items():
            name = str(key)
            if (why := _odd(name)) is not None:
                yield Fault("TextInvalid", f"{name[:60]!a} {why}.", pointer)
            else:
                yield from _look(below, f"{pointer}/{escape(name)}")
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _look(below, f"{pointer}/{index}")


def _text(text: str, pointer: str) -> Iterator[Fault]:
    if (why := _odd(text)) is not None:
        yield Fault("TextInvalid", f"{text[:60]!a} {why}.", pointer)
    elif len(text.encode()) > LONGEST and pointer.split("/")[1] in _PASSED_ON:
        yield Fault(
            "TextTooLong",
            f"It has {len(text.encode())} bytes; a process can be given {LONGEST} in one piece.",
            pointer,
            "Put it into a file of the code folder, or make it an input of type uri_file.",
        )


def _odd(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not Unicode text"
    return None
