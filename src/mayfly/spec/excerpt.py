"""One step of a pipeline by itself: the job it would be, and where each part of that was written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mayfly.kit.errors import Invalid
from mayfly.spec import level as levels
from mayfly.spec.child import child_of
from mayfly.spec.level import CONTROLS, Level, near

Value = TypeVar("Value")
_STAND_IN = "azureml://jobs/stand-in/outputs/"
ValueOf = Callable[["Made", str], str]
"""The value that an output holds; the pointer of the step that wants it."""


@dataclass(frozen=True, slots=True)
class Made:
    """An output of another step."""

    step: tuple[str, ...]
    """Its path from the outermost pipeline."""
    output: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    path: tuple[str, ...]
    definition: dict[str, Any]
    ways: tuple[tuple[str, Mapping[str, str]], ...]
    """Of each level, the outermost first: where the step stands in it, and what of it was written elsewhere there."""
    stand_ins: Mapping[str, Made]
    """Text in the definition → what belongs there."""

    @property
    def shown(self) -> str:
        return "/".join(self.path)

    def wants(self) -> dict[str, Made]:
        """Input → the output of another step that it is bound to."""
        bound = {name: str(value.get("path")) for name, value in self._inputs().items() if isinstance(value, Mapping)}
        return {name: self.stand_ins[text] for name, text in bound.items() if text in self.stand_ins}

    def optional(self, name: str) -> bool:
        """Whether its component runs without this input."""
        body = self.definition.get("component")
        ports = body.get("inputs") if isinstance(body, Mapping) else None
        port = ports.get(name) if isinstance(ports, Mapping) else None
        return isinstance(port, Mapping) and bool(port.get("optional"))

    def filled(self, places: Mapping[Made, str]) -> dict[str, Any]:
        """Its definition with what it wants in place; inputs of which nothing is known are left out."""
        wants = self.wants()
        inputs = {name: one for name, one in self._inputs().items() if name not in wants or wants[name] in places}
        texts = {text: places[made] for text, made in self.stand_ins.items() if made in places}
        return _put({**self.definition, "inputs": inputs}, texts)

    def _inputs(self) -> Mapping[str, Any]:
        return self.definition["inputs"]

    def back(self, pointer: str) -> str:
        """Where something of its definition stands in the whole one."""
        for place, moved in reversed(self.ways):
            pointer = moved.get(pointer, place + pointer)
        return pointer

    def forward(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """What was given by places of the whole definition, as far as it is the step's, by its own places."""
        found = dict(given)
        for place, moved in self.ways:
            inside = {at[len(place) :]: value for at, value in found.items() if at.startswith(f"{place}/")}
            found = inside | {own: found[written] for own, written in moved.items() if written in found}
        return found


def parts(text: str) -> tuple[str, ...]:
    """`outer/train` or `outer.train`, as steps of steps are named."""
    return tuple(re.split(r"[./]", text))


def excerpt(definition: Mapping[str, Any], path: tuple[str, ...], value_of: ValueOf | None = None) -> Excerpt:
    """Of a pipeline without faults. Without `value_of` there is something in place of the values that steps make. Raises what
    that does; Invalid `StepUnknown`; `StepHidden` where it stands in a component that only the server knows."""
    ways: list[tuple[str, Mapping[str, str]]] = []
    seen: dict[str, Made] = {}
    own: dict[str, Any] = dict(definition)

    def output_of(made: Made, value: bool) -> str:
        if value and value_of is not None:
            return value_of(made, "".join(place for place, _ in ways) + level.place(name))
        text = f"{_STAND_IN}{len(seen)}"
        seen[text] = made
        return text

    for depth, name in enumerate(path):
        level = _level(own, name, path[:depth], valued=value_of is not None)
        child = child_of(
            level, name, lambda step, output, value, above=path[:depth]: output_of(Made((*above, step), output), value)
        )
        ways.append((level.place(name), child.moved))
        own = child.definition
    return Excerpt(path, own, tuple(ways), seen)


def _level(own: Mapping[str, Any], name: str, above: tuple[str, ...], *, valued: bool) -> Level:
    shown = "/".join((*above, name))
    if levels.is_reference(own.get("component")):
        raise Invalid("StepHidden", f"The step '{shown}' stands in a component that only the server knows.")
    level, found = levels.read(own)
    found = [one for one in found if valued or not str(one.pointer).startswith("/inputs/")]
    if level is None or found:
        raise Invalid("StepUnknown", f"'{'/'.join(above)}' is no pipeline, so there is no step '{shown}' in it.")
    if name not in level.nodes:
        known = ["/".join((*above, one)) for one in level.nodes]
        raise Invalid("StepUnknown", f"There is no step '{shown}'.", remedy=near(shown, known))
    if level.kind(name) in CONTROLS:
        message = f"'{shown}' decides which steps run, and is none itself."
        raise Invalid("StepUnknown", message, remedy="Name one of the steps that it names.")
    return level


def _put(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, Mapping):
        return {key: _put(one, texts) for key, one in value.items()}
    if isinstance(value, list):
        return [_put(one, texts) for one in value]
    return value
