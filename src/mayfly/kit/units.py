"""Sizes and spans, read and written for people."""

from __future__ import annotations

import re

from mayfly.kit.errors import Invalid

_SIZE = re.compile(r"(\d+)\s*([bkmg]?)\Z", re.IGNORECASE)
_SCALE = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size_bytes(text: str) -> int:
    """`2g` → 2147483648. Units b, k, m, g (powers of 1024), as docker's shm_size has them. Raises Invalid `SizeInvalid`."""
    match = _SIZE.match(text.strip())
    if not match:
        raise Invalid(
            "SizeInvalid", f"'{text}' is not a size.", remedy="Write a whole number and b, k, m or g, as in 2g."
        )
    return int(match.group(1)) * _SCALE[match.group(2).lower()]


def format_bytes(count: float) -> str:
    """1536 → '1.5 KB' (powers of 1024)."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def format_span(milliseconds: float) -> str:
    """A length of time: 12 ms, 3.4 s, 2 min 5 s, 1 h 3 min."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
