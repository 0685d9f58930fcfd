"""Text for people: safe, short and aligned. Pure: takes the width and the moment, asks nobody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mayfly.kit.units import format_span

_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_CUT_COLOUR = re.compile(r"\x1b(\[[0-9;:]{0,40})?\Z")
_GAP = 2
_NARROWEST = 12


# --- safety -----------------------------------------------------------------------------------------------------------


def clean(value: object) -> str:
    """One line without control characters: what would steer a terminal is shown, not obeyed."""
    return _ODD.sub(_shown, str(value).replace("\t", " ").replace("\r\n", " ").replace("\n", " "))


class LogText:
    """Makes one log safe for a terminal, piece by piece: colours stay when `colour`, a progress bar's carriage return
    stays, every other control is shown as \\x…. A colour cut by the end of a piece waits for the next."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour
        self._rest = ""

    def feed(self, text: str) -> str:
        text = self._rest + text
        cut = _CUT_COLOUR.search(text)
        self._rest = text[cut.start() :] if cut else ""
        return self._safe(text[: cut.start()] if cut else text)

    def end(self) -> str:
        text, self._rest = self._rest, ""
        return self._safe(text)

    def _safe(self, text: str) -> str:
        pieces, at = [], 0
        for match in _COLOUR.finditer(text):
            pieces.append(_ODD.sub(_shown_in_log, text[at : match.start()]))
            if self._colour:
                pieces.append(match.group(0))
            at = match.end()
        pieces.append(_ODD.sub(_shown_in_log, text[at:]))
        return "".join(pieces)


def _shown(match: re.Match[str]) -> str:
    code = ord(match.group(0))
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _shown_in_log(match: re.Match[str]) -> str:
    return "\r" if match.group(0) == "\r" else _shown(match)


# --- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """`whole` columns are never cut, for they are copied by people; the others give way first, the last one goes first
    when even that does not fit."""

    header: str
    whole: bool = False
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]], width: int | None) -> list[str]:
    """Aligned lines, none wider than `width` terminal cells (None: as wide as needed)."""
    cells = [[clean("" if value is None else value) for value in row] for row in rows]
    full = [max([_cells(column.header), *(_cells(row[i]) for row in cells)]) for i, column in enumerate(columns)]
    widths = full if width is None else _fit(columns, full, width)
    lines = [_row(columns, [column.header.upper() for column in columns], widths)]
    lines += [_row(columns, row, widths) for row in cells]
    return lines


def _fit(columns: Sequence[Column], full: Sequence[int], width: int) -> list[int]:
    """Widths of the first columns that fit; how many there are says how many are shown."""
    shown = len(columns)
    least = [size if column.whole else min(size, _NARROWEST) for column, size in zip(columns, full, strict=True)]
    while shown > 1 and sum(least[:shown]) + _GAP * (shown - 1) > width:
        shown -= 1
    widths, floor = list(full[:shown]), least[:shown]
    excess = sum(widths) + _GAP * (shown - 1) - width
    while excess > 0:
        widest = max(range(shown), key=lambda i: widths[i] - floor[i])
        if widths[widest] <= floor[widest]:
            widths[widest] = max(1, widths[widest] - excess)
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _row(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for column, cell, width in zip(columns, cells, widths, strict=False):
        text = cut(cell, width)
        pad = " " * (width - _cells(text))
        shown.append(pad + text if column.right else text + pad)
    return (" " * _GAP).join(shown).rstrip()


def cut(text: str, width: int) -> str:
    """At most `width` terminal cells, with an ellipsis where something is missing."""
    if _cells(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += _cells(character)
        if used > width - 1:
            break
        kept += character
    return kept + "…"


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def generic(value: Any, width: int | None) -> list[str]:
    """A table of whatever a query gave: mappings by their keys, single values a line each."""
    if isinstance(value, Mapping):
        rows = [(key, _plain(item)) for key, item in value.items()]
        return table([Column("key", whole=True), Column("value")], rows, width)
    if isinstance(value, list):
        if value and all(isinstance(item, Mapping) for item in value):
            keys = list(dict.fromkeys(key for item in value for key in item))
            rows = [[_plain(item.get(key)) for key in keys] for item in value]
            return table([Column(str(key)) for key in keys], rows, width)
        return [clean(_plain(item)) for item in value]
    return [] if value is None else [clean(_plain(value))]


def tab_separated(value: Any) -> list[str]:
    """What shells like: one line for each item, tabs between values."""
    rows = value if isinstance(value, list) else [value]
    lines = []
    for row in rows:
        values = list(row.values()) if isinstance(row, Mapping) else row if isinstance(row, list) else [row]
        lines.append("\t".join(clean(_plain(item)) for item in values))
    return lines


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return str(value)


# --- numbers and moments ----------------------------------------------------------------------------------------------


def moment(milliseconds: int | None, now: int) -> str:
    """'2026-01-02 15:04:05 (3 min 2 s ago)' in local time; '' for None."""
    if milliseconds is None:
        return ""
    local = datetime.fromtimestamp(milliseconds / 1000)
    return f"{local:%Y-%m-%d %H:%M:%S} ({ago(milliseconds, now)})"


def ago(milliseconds: int | None, now: int) -> str:
    """'3 min ago'; '' for None."""
    if milliseconds is None:
        return ""
    seconds = max(0, now - milliseconds) // 1000
    if seconds < 5:
        return "just now"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def span(milliseconds: float | None) -> str:
    return "" if milliseconds is None else format_span(milliseconds)


def price(dollars: float | None) -> str:
    """An unknown price is shown as unknown (house §5)."""
    return (
        "unknown"
        if dollars is None
        else f"${dollars:.2f}/h"
        if dollars >= 0.01 or dollars == 0
        else f"${dollars:.4f}/h"
    )


def number(value: float) -> str:
    """Four significant digits, whole numbers whole."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"
