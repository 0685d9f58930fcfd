"""What `${{parent.…}}` in a step means: the references of a value, and the value with them filled in (semantics §3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mayfly.kit.errors import Invalid
from mayfly.kit.expressions import Reference, references, render
from mayfly.spec.document import escape


@dataclass(frozen=True, slots=True)
class ParentInput:
    """`${{parent.inputs.X}}`."""

    name: str


@dataclass(frozen=True, slots=True)
class ParentOutput:
    """`${{parent.outputs.X}}`."""

    name: str


@dataclass(frozen=True, slots=True)
class StepOutput:
    """`${{parent.jobs.S.outputs.O}}`."""

    step: str
    output: str


@dataclass(frozen=True, slots=True)
class StepInput:
    """`${{parent.jobs.S.inputs.I}}`."""

    step: str
    input: str


Binding = ParentInput | ParentOutput | StepOutput | StepInput


def binding(reference: Reference) -> Binding | None:
    """None for what is not the parent's: `${{inputs.x}}` of a command, `${{name}}`."""
    match reference.path:
        case ("parent", "inputs", name):
            return ParentInput(name)
        case ("parent", "outputs", name):
            return ParentOutput(name)
        case ("parent", "jobs", step, "outputs", output) | ("jobs", step, "outputs", output):
            return StepOutput(step, output)
        case ("parent", "jobs", step, "inputs", given) | ("jobs", step, "inputs", given):
            return StepInput(step, given)
    return None


def only(text: Any) -> Binding | None:
    """The binding that is the whole of a text; None where there is none, or more than that."""
    if not isinstance(text, str):
        return None
    found = _one_reference(text)
    return None if found is None else binding(found)


def step_named(text: Any) -> str | None:
    """The step that a text names: the whole of it is `${{parent.jobs.S}}`, or `${{jobs.S}}`."""
    found = _one_reference(text) if isinstance(text, str) else None
    match None if found is None else found.path:
        case ("parent", "jobs", step) | ("jobs", step):
            return step
    return None


def value_of(given: Any) -> Any:
    """What of an input or output a binding may stand in: the text itself, or its `path`."""
    return given.get("path") if isinstance(given, Mapping) else given


def legacy(text: Any) -> Any:
    """The old form of a step's own bindings, `${{inputs.x}}` and `${{outputs.x}}`, which meant the parent's."""
    if isinstance(text, str) and (found := _one(text)) is not None and found.path[0] in ("inputs", "outputs"):
        return "${{parent." + ".".join(found.path) + "}}"
    return text


def _one(text: str) -> Reference | None:
    found = _one_reference(text)
    return found if found is not None and len(found.path) == 2 else None


def _one_reference(text: str) -> Reference | None:
    """The one reference that is the whole of a text."""
    text = text.strip()
    try:
        found = references(text)
    except Invalid:
        return None
    whole = len(found) == 1 and text.startswith("${{") and text.endswith("}}")
    return found[0] if whole else None


def inside(value: Any, pointer: str = "") -> Iterator[tuple[str, Reference, bool]]:
    """Every reference to the parent's in a value, with the place of the text that holds it, and whether it is the whole of
    that. A text that is no expression holds none: whoever reads it says so."""
    if isinstance(value, str):
        try:
            whole = _one_reference(value) is not None
            yield from ((pointer, one, whole) for one in references(value) if one.path[0] in ("parent", "jobs"))
        except Invalid:
            return
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from inside(below, f"{pointer}/{escape(str(key))}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from inside(below, f"{pointer}/{index}")


def filled(value: Any, literal: Callable[[str], Any]) -> Any:
    """A value of any shape with each `${{parent.inputs.x}}` replaced by `literal('x')`, which keeps its kind where it is
    the whole of a text. Every other reference stays."""
    if isinstance(value, str):
        if isinstance(whole := only(value), ParentInput):
            return literal(whole.name)
        try:
            return render(value, lambda one: _rendered(one, literal))
        except Invalid:
            return value
    if isinstance(value, Mapping):
        return {key: filled(below, literal) for key, below in value.items()}
    if isinstance(value, list):
        return [filled(below, literal) for below in value]
    return value


def _rendered(reference: Reference, literal: Callable[[str], Any]) -> str:
    found = binding(reference)
    return str(literal(found.name)) if isinstance(found, ParentInput) else str(reference)
