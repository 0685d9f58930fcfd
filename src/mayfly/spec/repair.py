"""What is wrong with a YAML text, in words, and the lines that would make it right."""

from __future__ import annotations

import re

import yaml

_KEY_LINE = re.compile(r"(?P<indent> *)(?P<dash>(?:- +)*)[^\s#'\"\[{][^#]*?:(?: +(?P<value>\S.*))?\s*$")
_MOST_REPAIRS = 20


def explain(text: str, error: yaml.YAMLError) -> str:
    """One sentence without its full stop."""
    problem = str(getattr(error, "problem", None) or error)
    line = _line(text, error)
    if "\\t" in problem or (line is not None and "\t" in line[: len(line) - len(line.lstrip())]):
        return "a tab is used for indentation, YAML allows only spaces"
    if "mapping values are not allowed" in problem:
        return "a second 'key:' here does not fit: it is indented more than the line above, or a value needs quotes"
    if "<block end>" in problem:
        return "this line's indentation fits no line above it, or a value goes on where a new key was expected"
    if "could not find expected ':'" in problem:
        return "a ':' was expected after this key"
    if "undefined alias" in problem:
        return problem.replace("found undefined alias", "no anchor '&' defines the alias")
    if "end of stream" in problem or "unexpected end" in problem:
        return "the text ends inside a quoted value"
    if "flow" in str(getattr(error, "context", "")):
        return "a bracket or brace is not closed, or a comma is missing"
    return problem


def suggest(text: str) -> str | None:
    """The lines to change, so that the whole text can be read; None when no simple change does it."""
    lines = text.splitlines()
    changed: dict[int, str] = {}
    for _ in range(_MOST_REPAIRS):
        error = _error("\n".join(lines))
        if error is None:
            return _shown(changed) if changed else None
        mark = getattr(error, "problem_mark", None)
        if mark is None or mark.line >= len(lines):
            return None
        better = _repaired(lines, mark.line, str(getattr(error, "problem", "")))
        if better is None or better == lines[mark.line]:
            return None
        lines[mark.line] = changed[mark.line] = better.rstrip()
    return None


def _shown(changed: dict[int, str]) -> str:
    rows = [f"line {number + 1}: {line!r}" for number, line in sorted(changed.items())]
    return "Perhaps this is meant: " + "; ".join(rows) + "."


def _error(text: str) -> yaml.YAMLError | None:
    try:
        for _ in yaml.parse(text, yaml.SafeLoader):
            pass
    except yaml.YAMLError as error:
        return error
    return None


def _repaired(lines: list[str], at: int, problem: str) -> str | None:
    line = lines[at]
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return indent.replace("\t", "  ") + line.lstrip()
    levels = _levels(lines[:at])
    if not levels:
        return _quoted(line) if "mapping values" in problem else None
    if "mapping values are not allowed" in problem and len(indent) > levels[-1]:
        return " " * levels[-1] + line.lstrip()
    if "mapping values are not allowed" in problem:
        return _quoted(line)
    if "<block end>" in problem:
        fitting = [level for level in levels if level < len(indent)]
        return " " * fitting[-1] + line.lstrip() if fitting else None
    return None


def _quoted(line: str) -> str | None:
    """`key: a: b` → `key: 'a: b'`."""
    key, colon, value = line.partition(": ")
    if not colon or ": " not in value or value.lstrip()[:1] in ("'", '"'):
        return None
    return f"{key}: '" + value.strip().replace("'", "''") + "'"


def _levels(lines: list[str]) -> list[int]:
    """The columns at which keys may stand after these lines, outermost first."""
    levels: list[int] = []
    for line in lines:
        match = _KEY_LINE.match(line)
        if match is None:
            continue
        column = len(match["indent"]) + len(match["dash"])
        levels = [level for level in levels if level < column] + [column]
    return levels


def _line(text: str, error: yaml.YAMLError) -> str | None:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    return lines[mark.line] if mark is not None and mark.line < len(lines) else None
