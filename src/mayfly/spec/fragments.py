"""`$[[ … ]]` in a command (semantics §3): what is dropped whole when an input in it has no value."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from mayfly.kit.errors import Invalid
from mayfly.kit.expressions import references

FRAGMENT = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


def inputs_in(text: str) -> list[str]:
    """The inputs that it names, each as often as it does."""
    try:
        return [one.path[1] for one in references(text) if len(one.path) == 2 and one.path[0] == "inputs"]
    except Invalid:
        return []


def written_out(command: str, absent: Container[str]) -> str:
    """Every fragment as the text in it, or as nothing where one of the inputs in it has no value."""
    return FRAGMENT.sub(lambda match: "" if any(name in absent for name in inputs_in(match[1])) else match[1], command)


def of_job(command: str, given: Container[str]) -> tuple[str, tuple[str, ...]]:
    """A job's own command, whose inputs are what was given: written out, and what is said of each fragment that is left
    out. One that names no input is the shell's."""
    said: list[str] = []

    def parts() -> Iterator[str]:
        end = 0
        for match in FRAGMENT.finditer(command):
            yield command[end : match.start()]
            end, named = match.end(), inputs_in(match[1])
            lacking = next((name for name in named if name not in given), None)
            if lacking is not None:
                said.append(f"command: {match[0]} is left out, for no input '{lacking}' is given")
            else:
                yield match[1] if named else match[0]
        yield command[end:]

    return "".join(parts()), tuple(said)
