"""The parts of a definition that may name files and components of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mayfly.spec.document import escape


def within(definition: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a definition that may name files: the job, its component, each of its steps and theirs, by pointer."""
    yield place, definition
    for pointer, one in below(place, definition):
        yield from within(one, pointer)


def below(place: str, holder: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that stand directly in one at `place`: its component, its steps."""
    if isinstance(body := holder.get("component"), dict):
        yield f"{place}/component", body
    jobs = holder.get("jobs")
    for name, step in jobs.items() if isinstance(jobs, dict) else ():
        if isinstance(step, dict):
            yield f"{place}/jobs/{escape(name)}", step
