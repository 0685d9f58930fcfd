"""Control flow of one level, as Azure's SDK writes it: `if_else`, `do_while` and `parallel_for` name other steps of their
level and say whether, how often and with what these run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mayfly.kit.errors import Fault
from mayfly.spec import binding, faults
from mayfly.spec.binding import ParentInput, StepOutput, step_named
from mayfly.spec.document import escape
from mayfly.spec.fields import Shape, show
from mayfly.spec.level import CONTROLS, DO_WHILE, PARALLEL_FOR, Level, near, stand_in
from mayfly.spec.paths import Refers, refers
from mayfly.spec.words import LITERAL_TYPES

MOST_ROUNDS = 1000
"""Of a do_while, as Azure has it; and items of a parallel_for."""
_ITEMS = "Write a list of the inputs of each round: [{x: 1}, {x: 2}]."
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class IfElse(Shape):
    type: str
    condition: bool | str
    true_block: str | list[str] | None = None
    false_block: str | list[str] | None = None


class Limits(Shape):
    max_iteration_count: int


class DoWhile(Shape):
    type: str
    body: str
    limits: Limits
    condition: str | None = None
    mapping: dict[str, str | list[str]] = {}


class ParallelFor(Shape):
    type: str
    body: str
    items: str | dict[str, Any] | list[Any]
    outputs: dict[str, Any] = {}
    max_concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    condition: bool | StepOutput
    members: Mapping[str, bool]
    """Step → what the condition must be for it to run."""


@dataclass(frozen=True, slots=True)
class Loop:
    kind: str
    body: str
    most: int = MOST_ROUNDS
    """Rounds of a do_while."""
    at_once: int | None = None
    """Rounds of a parallel_for."""
    condition: str = ""
    """The body's output that says whether there is another round; '' and there is, up to `most`."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Input of the next round → output of the one before."""
    items: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"0": {}})
    """Round → the inputs that it is given beside the body's own."""
    texts: bool = False
    """The items were written as one text."""
    listed: bool = True
    """They are a list, not names with what belongs to each."""
    source: StepOutput | None = None
    """The output that will hold the items; until then there is one, with stand-ins for its values."""
    unsure: frozenset[str] = frozenset()
    """Inputs of the body that have stand-ins."""


def choice_of(level: Level, name: str) -> tuple[Choice | None, list[Fault]]:
    """Of an `if_else` node; None where nothing sensible is left. Codes: `ConditionInvalid`, `ConditionNotControl`,
    `BlocksMissing`, `StepInBothBlocks`, `StepUnknown`, `OutputUnknown`, and those of any key."""
    model, found = _model(IfElse, level, name)
    if not isinstance(model, IfElse):
        return None, found
    place = level.place(name)
    condition, wrong = _condition(level, model.condition, f"{place}/condition")
    found += wrong
    members: dict[str, bool] = {}
    for key, wanted in (("true_block", True), ("false_block", False)):
        given = getattr(model, key)
        listed = [given] if isinstance(given, str) else given or []
        for index, text in enumerate(listed):
            pointer = f"{place}/{key}" if isinstance(given, str) else f"{place}/{key}/{index}"
            member = step_named(text) or text
            if member not in level.nodes or member == name:
                found.append(_unknown(level, member, pointer))
            elif members.get(member, wanted) != wanted:
                message = f"The step '{member}' is in both blocks."
                found.append(Fault("StepInBothBlocks", message, pointer, "Leave it in one of them."))
            else:
                members[member] = wanted
    if not members and not found:
        message = "Neither block names a step."
        found.append(Fault("BlocksMissing", message, place, "Write 'true_block: ${{parent.jobs.STEP}}'."))
    return (None if condition is None else Choice(condition, members)), found


def _condition(level: Level, given: bool | str, place: str) -> tuple[bool | StepOutput | None, list[Fault]]:
    bound = given if isinstance(given, bool) else binding.only(given)
    hint = "Write '${{parent.jobs.STEP.outputs.NAME}}', an output of type boolean; or true or false."
    match bound:
        case bool():
            return bound, []
        case ParentInput(source) if source in level.inputs:
            value = truth(level.inputs[source])
            if value is not None or source in level.sampled:
                return bool(value), []
            return None, [Fault("ConditionInvalid", f"The input '{source}' is neither true nor false.", place, hint)]
        case StepOutput(step, output) if step in level.nodes:
            return bound, _control(level, step, output, place)
        case StepOutput(step, _):
            return None, [_unknown(level, step, place)]
    return None, [Fault("ConditionInvalid", f"{show(given)} is no condition.", place, hint)]


def _control(level: Level, step: str, output: str, place: str, kind: str = "boolean") -> list[Fault]:
    """What is wrong with an output that something is decided by."""
    types = level.output_types(step)
    if types is None:
        return []
    if output not in types:
        message = f"The step '{step}' has no output '{output}'."
        return [Fault("OutputUnknown", message, place, near(output, list(types)))]
    if types[output] not in LITERAL_TYPES:
        message = f"The output '{output}' of '{step}' is data ({types[output]}), so nothing is decided by it."
        return [Fault("ConditionNotControl", message, place, f"Declare it as '{output}: {{type: {kind}}}'.")]
    return []


def loop_of(level: Level, name: str) -> tuple[Loop | None, list[Fault]]:
    """Of a `do_while` or `parallel_for` node; None where nothing sensible is left. Codes: `StepUnknown`, `BodyInvalid`,
    `ConditionNotControl`, `OutputUnknown`, `InputUnknown`, `InputMappedTwice`, `TooManyRounds`, `ItemsInvalid`."""
    kind = level.kind(name)
    model, found = _model(DoWhile if kind == DO_WHILE else ParallelFor, level, name)
    if not isinstance(model, (DoWhile, ParallelFor)):
        return None, found
    place, body = level.place(name), step_named(model.body) or model.body
    if body not in level.nodes:
        return None, [*found, _unknown(level, body, f"{place}/body")]
    if level.kind(body) in CONTROLS or level.owners.get(body) != name:
        other = level.owners.get(body)
        why = f"is the body of '{other}' already" if other else f"is of type {level.kind(body)}"
        message = f"The step '{body}' {why}."
        return None, [
            *found,
            Fault("BodyInvalid", message, f"{place}/body", "Name a step of type command or pipeline."),
        ]
    if isinstance(model, ParallelFor):
        loop, wrong = _over(level, model, body, f"{place}/items")
        if model.max_concurrency is not None and model.max_concurrency < 1:
            wrong.append(Fault("InvalidValue", "Expected a number from 1 on.", f"{place}/max_concurrency"))
        return (None if wrong and not loop.items else loop), [*found, *wrong]
    most = model.limits.max_iteration_count
    if not 1 <= most <= MOST_ROUNDS:
        pointer = f"{place}/limits/max_iteration_count"
        found.append(Fault("TooManyRounds", f"Expected a number from 1 to {MOST_ROUNDS}, found {most}.", pointer))
    condition = _port_name(model.condition or "")
    if condition:
        found += _control(level, body, condition, f"{place}/condition")
    mapping, wrong = _mapping(level, body, model.mapping, f"{place}/mapping")
    return Loop(kind, body, most, condition=condition, mapping=mapping), [*found, *wrong]


def _mapping(level: Level, body: str, given: Mapping[str, Any], place: str) -> tuple[dict[str, str], list[Fault]]:
    mapping: dict[str, str] = {}
    found: list[Fault] = []
    types, ports = level.output_types(body), (level.body(body) or {}).get("inputs")
    for key, value in given.items():
        output, pointer = _port_name(key), f"{place}/{escape(key)}"
        if types is not None and output not in types:
            message = f"The step '{body}' has no output '{output}'."
            found.append(Fault("OutputUnknown", message, pointer, near(output, list(types))))
            continue
        for name in map(_port_name, [value] if isinstance(value, str) else value):
            port = ports.get(name) if isinstance(ports, Mapping) else None
            if isinstance(ports, Mapping) and port is None:
                message = f"The step '{body}' has no input '{name}'."
                found.append(Fault("InputUnknown", message, pointer, near(name, list(ports))))
            elif name in mapping:
                message = f"The input '{name}' is mapped to '{mapping[name]}' already."
                found.append(Fault("InputMappedTwice", message, pointer, "Map it to one output."))
            elif isinstance(port, Mapping) and port.get("type") in LITERAL_TYPES and _is_data(types, output):
                message = f"The input '{name}' is of type {port['type']}, and '{output}' is data."
                found.append(Fault("TypesClash", message, pointer, "Declare the output with the input's type."))
            else:
                mapping[name] = output
    return mapping, found


def _is_data(types: Mapping[str, str] | None, output: str) -> bool:
    return types is not None and types[output] not in LITERAL_TYPES


def with_items(level: Level, name: str, items: str) -> Level:
    """The level with the items of a loop in place of the output that held them."""
    return replace(level, nodes={**level.nodes, name: {**level.nodes[name], "items": items}})


def _over(level: Level, model: ParallelFor, body: str, place: str) -> tuple[Loop, list[Fault]]:
    """The loop over its items; `place` is theirs."""
    loop = Loop(PARALLEL_FOR, body, at_once=model.max_concurrency, texts=isinstance(model.items, str))
    given, bound = model.items, binding.only(model.items)
    if isinstance(bound, ParentInput) and bound.name in level.inputs and bound.name not in level.sampled:
        given, bound = level.inputs[bound.name], None
    match bound:
        case StepOutput(step, _) if step not in level.nodes:
            return replace(loop, items={}), [_unknown(level, step, place)]
        case StepOutput(step, output):
            wrong = _control(level, level.owners.get(step, step), output, place, "string")
            item = _unknown_item(level, body)
            return replace(loop, items={"0": item}, source=bound, unsure=frozenset(item)), wrong
        case ParentInput(given_name) if given_name in level.sampled:
            item = _unknown_item(level, body)
            return replace(loop, items={"0": item}, unsure=frozenset(item)), []
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            return replace(loop, items={}), [Fault("ItemsInvalid", f"This is no JSON: {error}.", place, _ITEMS)]
    items, wrong = _items(given, place)
    return replace(loop, items=items, listed=isinstance(given, list)), wrong


def _unknown_item(level: Level, body: str) -> dict[str, Any]:
    """Something for every input that the body's component needs and is not given."""
    ports, own = (level.body(body) or {}).get("inputs"), level.nodes[body].get("inputs")
    return {
        name: stand_in(str(port.get("type")))
        for name, port in (ports.items() if isinstance(ports, Mapping) else ())
        if isinstance(port, Mapping) and not port.get("optional") and name not in (own or {})
    }


def _items(given: Any, place: str) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """By their round; `place` is that of all of them."""
    hint = _ITEMS
    if isinstance(given, list):
        given = {str(index): one for index, one in enumerate(given)}
    if not isinstance(given, Mapping) or not given:
        return {}, [Fault("ItemsInvalid", "There are no items.", place, hint)]
    if len(given) > MOST_ROUNDS:
        return {}, [Fault("TooManyRounds", f"A loop has at most {MOST_ROUNDS} items; this has {len(given)}.", place)]
    found: list[Fault] = []
    items: dict[str, dict[str, Any]] = {}
    for key, one in given.items():
        pointer = f"{place}/{escape(str(key))}"
        if not _KEY.match(str(key)):
            found.append(Fault("ItemsInvalid", f"{show(key)} cannot name a round.", pointer, "Use letters and digits."))
        elif not isinstance(one, Mapping):
            found.append(Fault("ItemsInvalid", f"{show(one)} is no 'input: value' lines.", pointer, hint))
        else:
            items[str(key)] = {name: _as_yaml(value) for name, value in one.items()}
            found += _local(items[str(key)], pointer)
    return items, found


def _as_yaml(value: Any) -> Any:
    """Data as the SDK sends it (`uri`, `job_input_type`), as a job file has it."""
    if isinstance(value, Mapping) and "job_input_type" in value:
        kind = str(value["job_input_type"])
        return value.get("value") if kind == "literal" else {"type": kind, "path": value.get("uri")}
    return value


def _local(item: Mapping[str, Any], place: str) -> Iterator[Fault]:
    for name, value in item.items():
        path = value.get("path") if isinstance(value, Mapping) else None
        if isinstance(path, str) and binding.only(path) is None and refers(path) is Refers.LOCAL:
            message = f"'{path}' is a path of your machine; items name what the server has."
            hint = "Give it to the pipeline as an input and write '${{parent.inputs.NAME}}'."
            yield Fault("ItemsInvalid", message, f"{place}/{escape(name)}", hint)


def truth(value: Any) -> bool | None:
    """What a condition's value says; None: neither."""
    return {"true": True, "false": False}.get(str(value).strip().lower())


def _port_name(text: str) -> str:
    """`${{parent.body.outputs.x}}` and `x` are one thing."""
    inside = text.strip().removeprefix("${{").removesuffix("}}").strip()
    return inside.rpartition(".")[2]


def _unknown(level: Level, step: str, place: str) -> Fault:
    return Fault("StepUnknown", f"There is no step '{step}'.", place, near(step, list(level.nodes)))


def _model(shape: type[Shape], level: Level, name: str) -> tuple[Any, list[Fault]]:
    """`_source` and the like are the SDK's own notes."""
    data = {key: value for key, value in level.nodes[name].items() if key != "name" and not key.startswith("_")}
    keys: dict[tuple[str, ...], type[Shape]] = {(): shape, ("limits",): Limits}
    model, found = faults.check(shape, data, keys)
    place = level.place(name)
    return model, [Fault(one.code, one.message, f"{place}{one.pointer or ''}", one.remedy) for one in found]
