"""A step as the job it becomes: its inputs bound, its outputs where its parent wants them, its parent's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mayfly.kit.errors import Invalid
from mayfly.kit.expressions import render
from mayfly.spec import binding
from mayfly.spec.binding import ParentInput, ParentOutput, StepInput, StepOutput
from mayfly.spec.document import escape
from mayfly.spec.level import Level
from mayfly.spec.words import DATA_TYPES, LITERAL_TYPES

OutputOf = Callable[[str, str, bool], str | None]
"""A step, an output, and whether it is wanted as a value → its text, or where it lies; None: the step has none to give, and
who reads it does so optionally."""


@dataclass(frozen=True, slots=True)
class Child:
    """A step as the job it becomes."""

    definition: dict[str, Any]
    moved: Mapping[str, str]
    """Pointer in the child's definition → in the parent's, for a path that the parent was given."""


class Absent:
    """The value of an optional input that has none."""


ABSENT = Absent()
_INNER = ("component", "command", "inputs", "outputs", "jobs", "type", "depends_on", "is_deterministic", "settings")


def child_of(level: Level, step: str, output_of: OutputOf) -> Child:
    """The step's job, its inputs bound. Only for a level without faults."""
    node = level.nodes[step]
    values: dict[str, Any] = {}
    moved: dict[str, str] = {}
    given = node.get("inputs")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        found, origin = bound(level, step, name, value, output_of)
        if not isinstance(found, Absent):
            values[name] = found
            if origin is not None:
                moved[f"/inputs/{escape(name)}/path"] = origin
    definition = {
        key: binding.filled(value, lambda name: _literal(level, name))
        for key, value in node.items()
        if key not in _INNER
    }
    definition |= {key: node[key] for key in ("component", "command", "jobs") if key in node}
    definition |= {"inputs": values, "outputs": dict(_outputs(level, step))}
    if level.kind(step) == "pipeline":
        definition |= {"type": "pipeline", "settings": _settings(level, node)}
    else:
        if level.compute is not None:
            definition.setdefault("compute", level.compute)
        if level.fields.identity is not None and not level.at:
            definition.setdefault("identity", level.fields.identity.model_dump(exclude_none=True))
    return Child(definition, moved)


def with_inputs(level: Level, step: str, given: Mapping[str, Any]) -> Level:
    """The level with a step that is given these too."""
    if not given:
        return level
    own = level.nodes[step].get("inputs")
    node = {**level.nodes[step], "inputs": {**(own if isinstance(own, Mapping) else {}), **given}}
    return replace(level, nodes={**level.nodes, step: node})


def _literal(level: Level, name: str) -> Any:
    found = level.inputs.get(name, "")
    return found.get("path", "") if isinstance(found, Mapping) else found


def bound(level: Level, step: str, name: str, value: Any, output_of: OutputOf) -> tuple[Any, str | None]:
    """The value of one input, and where its path was written when the parent was given it."""
    text = binding.legacy(binding.value_of(value))
    found, own = (
        binding.only(text),
        {k: v for k, v in value.items() if k != "path"} if isinstance(value, Mapping) else {},
    )
    match found:
        case ParentInput(source):
            given = level.inputs.get(source, ABSENT)
            if isinstance(given, Mapping):
                return {**given, **own}, level.written.get(source)
            if isinstance(given, Absent) or not own:
                return given, None
            return {**own, "path": given}, None
        case StepInput(sibling, source):
            inputs = level.nodes[sibling].get("inputs") or {}
            return bound(level, sibling, source, inputs.get(source, ABSENT), output_of)
        case StepOutput(sibling, output):
            sibling = level.owners.get(sibling, sibling)
            types = level.output_types(sibling) or {}
            kind = own.get("type") or _edge_type(level.port(step, name), types.get(output, "uri_folder"))
            found = output_of(sibling, output, kind in LITERAL_TYPES)
            if found is None:
                return ABSENT, None
            return (found if kind in LITERAL_TYPES else {**own, "type": kind, "path": found}), None
    if isinstance(value, str):
        return binding.filled(value, lambda one: _literal(level, one)), None
    return value, None


def _edge_type(port: Mapping[str, Any] | None, source: str) -> str:
    """A folder given for a file, or a file for a folder, is passed on as what it is (semantics §12)."""
    wanted = str((port or {}).get("type") or source)
    return source if wanted in (*DATA_TYPES, "path") and source in DATA_TYPES else wanted


def _outputs(level: Level, step: str) -> Iterator[tuple[str, Any]]:
    given = level.nodes[step].get("outputs")
    store = level.fields.settings.default_datastore
    outputs = dict(given) if isinstance(given, Mapping) else {}
    for name in ((level.body(step) or {}).get("outputs") or {}) if store else ():
        outputs.setdefault(name, None)
    for name, value in outputs.items():
        found = binding.only(binding.legacy(binding.value_of(value)))
        own = {k: v for k, v in value.items() if k != "path"} if isinstance(value, Mapping) else {}
        if isinstance(found, ParentOutput):
            told = {**level.outputs.get(found.name, {}), **own}
        elif isinstance(value, str):
            told = {"path": value}
        else:
            told = {} if value is None else value
        yield name, _stored(told, store, level.kind(step)) if isinstance(told, dict) else told


def _stored(output: dict[str, Any], store: str | None, kind: str) -> dict[str, Any]:
    """In the pipeline's own default datastore, where it names one."""
    if store is None or kind == "pipeline":
        return output
    name = store.removeprefix("azureml:")
    path = output.get("path") or "azureml://datastores/${{default_datastore}}/paths/azureml/${{name}}/${{output_name}}"
    try:
        path = render(str(path), lambda one: name if one.path == ("default_datastore",) else str(one))
    except Invalid:
        return output  # refused where the step is checked
    return {**output, "path": path}


def _settings(level: Level, node: Mapping[str, Any]) -> dict[str, Any]:
    """What a nested pipeline has of its parent's, and of its own."""
    own = node.get("settings")
    mine = level.fields.settings.model_dump(exclude_none=True)
    if level.compute is not None:
        mine["default_compute"] = level.compute
    return {**mine, **(own if isinstance(own, Mapping) else {})}
