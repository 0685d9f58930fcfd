"""The command job that a component becomes, with inputs and keys of its user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.spec.component import Component, InputPort, coerced, notes, read, wrong_value
from mayfly.spec.document import escape
from mayfly.spec.fields import show
from mayfly.spec.fragments import written_out
from mayfly.spec.job import CommandJob, invalid, parse


@dataclass(frozen=True, slots=True)
class Expanded:
    definition: dict[str, Any]
    """A command job's."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """JSON pointer into the definition → into what was written, where that is another place. The longest counts."""
    notes: tuple[str, ...] = ()
    """As `job.notes`, of the component."""

    def back(self, pointer: str) -> str:
        """Where it was written."""
        found = [own for own in self.origins if pointer == own or pointer.startswith(own + "/")]
        own = max(found, key=len, default=None)
        return pointer if own is None else self.origins[own] + pointer[len(own) :]

    def forward(self, pointer: str) -> str:
        """Where in the definition something that was written ended up."""
        for own, written in self.origins.items():
            if pointer == written or pointer.startswith(written + "/"):
                return own + pointer[len(written) :]
        return pointer


def expand(component: Component, definition: Mapping[str, Any]) -> Expanded:
    """The command job of a definition that names this component: its own keys override the component's, key by key for
    resources, name by name for inputs and outputs (semantics §12).

    Raises Invalid with every fault; pointers are those of what was written: `/inputs/x`, `/component/inputs/x`.
    """
    own = {key: value for key, value in definition.items() if key != "component" and value is not None}
    plain, origins, found, said = dict(own), {}, [], ()
    body = dict(component.body)
    if component.fields.additional_includes and "code" not in body:
        body["code"] = "."
    for key in ("command", "code", "environment", "distribution", "display_name", "description"):
        if key not in own and key in body:
            plain[key], origins[f"/{key}"] = body[key], f"/component/{key}"
    resources = body.get("resources")
    if isinstance(resources, dict) and isinstance(own.get("resources", {}), dict):
        given = own.get("resources", {})
        plain["resources"] = {**resources, **given}
        origins |= {f"/resources/{key}": f"/component/resources/{key}" for key in resources if key not in given}
    given = own.get("inputs", {})
    if isinstance(given, dict):
        plain["inputs"], absent = _inputs(component, given, origins, found)
        said = notes(plain.get("command", ""))
        plain["command"] = written_out(plain.get("command", ""), absent)
        found += _strangers(component, given, plain["command"], "input")
    outputs = own.get("outputs", {})
    if isinstance(outputs, dict):
        plain["outputs"] = _outputs(component, outputs)
        found += _strangers(component, outputs, str(plain.get("command", "")), "output")
    if found:
        raise invalid(found)
    return Expanded(plain, origins, said)


def job_of(definition: Mapping[str, Any]) -> tuple[CommandJob, Expanded]:
    """The job that a definition with an inline component becomes. Raises Invalid with every fault, each where it was
    written."""
    body = definition.get("component")
    if not isinstance(body, Mapping):
        raise Invalid(
            "WrongType",
            f"Expected a component's file, its reference or its keys, found {show(body)}.",
            pointer="/component",
            remedy="Write for example 'component: ./train.yml' or 'component: azureml:train@latest'.",
        )
    try:
        known = read(body)
    except Invalid as error:
        raise invalid(
            [_moved(fault, lambda pointer: "/component" + pointer) for fault in error.all_faults()]
        ) from error
    expanded = expand(known, definition)
    try:
        return parse(expanded.definition), expanded
    except Invalid as error:
        if error.code.startswith("JobType"):
            raise
        raise invalid([_moved(fault, expanded.back) for fault in error.all_faults()]) from error


def _inputs(
    component: Component, given: Mapping[str, Any], origins: dict[str, str], found: list[Fault]
) -> tuple[dict[str, Any], frozenset[str]]:
    """The job's inputs, and which optional ones have no value."""
    inputs: dict[str, Any] = {name: value for name, value in given.items() if name not in component.inputs}
    absent = set()
    for name, port in component.inputs.items():
        place = f"/inputs/{escape(name)}"
        value = given.get(name)
        if value is not None:
            _given(inputs, name, port, value, found)
        elif port.default is not None:
            inputs[name] = coerced(port, port.default) if port.literal else _data(port, {"path": port.default})
            origins[place] = f"/component{place}/default" if port.literal else f"/component{place}"
            if not port.literal:
                origins[f"{place}/path"] = f"/component{place}/default"
        elif port.optional:
            absent.add(name)
        else:
            found.append(
                Fault(
                    "InputMissing",
                    f"The component needs the input '{name}' ({port.type}).",
                    "/inputs" if given else "/component",
                    f"Add '{name}: …' under inputs." if port.literal else f"Add '{name}: {{path: …}}' under inputs.",
                )
            )
    return inputs, frozenset(absent)


def _given(inputs: dict[str, Any], name: str, port: InputPort, value: Any, found: list[Fault]) -> None:
    place = f"/inputs/{escape(name)}"
    bare = value["value"] if isinstance(value, dict) and set(value) == {"value"} else value
    if not port.literal and isinstance(bare, (dict, str)):
        inputs[name] = _data(port, bare if isinstance(bare, dict) else {"path": bare})
    elif not port.literal:
        message = f"The component's input '{name}' is data of type {port.type}, not {show(bare)}."
        found.append(Fault("InputKindWrong", message, place, f"Write '{name}: {{path: …}}'."))
    elif isinstance(bare, (dict, list)):
        message = f"The component's input '{name}' is of type {port.type}, not {show(bare)}."
        found.append(Fault("InputKindWrong", message, place, f"Write '{name}: <value>'."))
    elif (why := wrong_value(port, bare)) is not None:
        found.append(Fault("InvalidValue", f"The input '{name}': {why}", place))
    else:
        inputs[name] = coerced(port, bare)


def _data(port: InputPort, given: Mapping[str, Any]) -> dict[str, Any]:
    own = {"type": port.type} if port.mode is None else {"type": port.type, "mode": port.mode}
    return {**own, **given}


def _outputs(component: Component, given: Mapping[str, Any]) -> dict[str, Any]:
    outputs = dict(given)
    for name, port in component.fields.outputs.items():
        own = {"type": port.type} if port.mode is None else {"type": port.type, "mode": port.mode}
        value = given.get(name)
        outputs[name] = {**own, **value} if isinstance(value, dict) else own if value is None else value
    return outputs


def _strangers(component: Component, given: Mapping[str, Any], command: str, kind: str) -> Iterator[Fault]:
    """Names that neither the component nor the job's own command knows."""
    known = list(getattr(component.fields, f"{kind}s"))
    for name in given:
        if name in known or re.search(r"\$\{\{\s*" + kind + r"s\." + re.escape(name) + r"\s*\}\}", command):
            continue
        close = nearest(name, known)
        yield Fault(
            f"{kind.capitalize()}Unknown",
            f"The component has no {kind} '{name}'.",
            f"/{kind}s/{escape(name)}",
            f"Did you mean '{close}'?" if close else f"It has: {', '.join(known) or 'none'}.",
        )


def _moved(fault: Fault, move: Callable[[str], str]) -> Fault:
    return fault if fault.pointer is None else replace(fault, pointer=move(fault.pointer))
