"""What a definition is made of: its kind, and the parts that may name files and components of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mayfly.spec.document import escape


def is_pipeline(definition: Mapping[str, Any]) -> bool:
    """Whether a definition is a pipeline's: by its type, or by its steps where it says none."""
    kind = definition.get("type")
    if kind is not None:
        return str(kind).lower() == "pipeline"
    body = definition.get("component")
    return "jobs" in definition or (isinstance(body, Mapping) and str(body.get("type")).lower() == "pipeline")


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
