"""One level of a pipeline (semantics §12): its own keys, its inputs with values, its steps as they were written, and what
each of them is given when it is made a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict

from mayfly.kit.errors import Fault, nearest
from mayfly.spec import binding, faults
from mayfly.spec.binding import ParentOutput, StepOutput
from mayfly.spec.component import InputPort, OutputPort, coerced, wrong_value
from mayfly.spec.document import escape
from mayfly.spec.fields import Filled, Labels, Name, Shape, show
from mayfly.spec.models import DataInput, Identity, Input, Output
from mayfly.spec.paths import Refers, refers
from mayfly.spec.words import LITERAL_TYPES

JOB_READ_ONLY = frozenset({"$schema", "id", "status", "creation_context", "log_files", "parameters", "services"})
COMPONENT_READ_ONLY = frozenset({"$schema", "id", "creation_context", "intellectual_property", "auto_delete_setting"})
ROOT_OUTPUTS = ("default", "artifacts")
"""Every command job has them without being asked: its ./outputs and logs."""
IF_ELSE, DO_WHILE, PARALLEL_FOR = "if_else", "do_while", "parallel_for"
LOOPS = (DO_WHILE, PARALLEL_FOR)
CONTROLS = (IF_ELSE, *LOOPS)
_SAMPLES = {"integer": 1, "number": 1.0, "boolean": True, "string": "text"}
STAND_IN = "azureml://jobs/stand-in/outputs/stand-in"
"""The path of what a step will have made."""


class Settings(Shape):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)  # semantics §1.4

    default_compute: Filled | None = None
    default_datastore: Filled | None = None
    continue_on_step_failure: bool = True
    force_rerun: bool = False


class JobFields(Shape):
    """The keys of a pipeline job's file."""

    name: Name | None = None
    type: str | None = None
    display_name: str | None = None
    experiment_name: Filled | None = None
    description: str | None = None
    tags: Labels = {}
    properties: Labels = {}
    inputs: dict[str, Input] = {}
    outputs: dict[str, Output] = {}
    settings: Settings = Settings()
    compute: Filled | None = None
    identity: Identity | None = None
    jobs: dict[str, dict[str, Any]] = {}
    component: Any = None


def _version(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class ComponentFields(Shape):
    """The keys of a pipeline component's file."""

    jobs: dict[str, dict[str, Any]]
    name: Filled | None = None
    version: Annotated[str, BeforeValidator(_version)] | None = None
    type: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: Labels = {}
    properties: Labels = {}
    is_deterministic: bool = True
    inputs: dict[str, InputPort] = {}
    outputs: dict[str, OutputPort] = {}


JOB_KEYS: dict[tuple[str, ...], type[Shape]] = {
    (): JobFields,
    ("settings",): Settings,
    ("identity",): Identity,
    ("inputs", "*"): DataInput,
    ("outputs", "*"): Output,
}
COMPONENT_KEYS: dict[tuple[str, ...], type[Shape]] = {
    (): ComponentFields,
    ("inputs", "*"): InputPort,
    ("outputs", "*"): OutputPort,
}


@dataclass(frozen=True, slots=True)
class Level:
    definition: Mapping[str, Any]
    at: str
    """Pointer of what holds `jobs`: '' or '/component'."""
    fields: JobFields
    nodes: Mapping[str, dict[str, Any]]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """A literal, or {path, type, …}. An optional one without a value is not there."""
    written: Mapping[str, str] = field(default_factory=dict)
    """Input → pointer of its `path`."""
    optional: frozenset[str] = frozenset()
    sampled: frozenset[str] = frozenset()
    """Inputs that have no value yet (a component read by itself), and stand-ins in their place."""
    outputs: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """The keys given for each output."""
    forwarded: Mapping[str, StepOutput] = field(default_factory=dict)
    """Outputs that name the step's output they are, rather than the other way round."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Step that is the body of a loop → the loop, which runs it and has its results."""
    strangers: tuple[str, ...] = ()
    """Inputs that were given and are not declared: nobody sees them (semantics §12)."""

    def place(self, step: str) -> str:
        return f"{self.at}/jobs/{escape(step)}"

    @property
    def compute(self) -> str | None:
        return self.fields.settings.default_compute or self.fields.compute

    def body(self, step: str) -> Mapping[str, Any] | None:
        """The step's component; None where it has none here (inline, or known to the server only)."""
        found = self.nodes[step].get("component")
        return found if isinstance(found, Mapping) else None

    def opaque(self, step: str) -> bool:
        """Whether only the server knows its component."""
        return isinstance(self.nodes[step].get("component"), str)

    def kind(self, step: str) -> str:
        body, node = self.body(step), self.nodes[step]
        found = node.get("type") or (body or {}).get("type") or ("pipeline" if "jobs" in node else "command")
        return str(found).lower()

    def reusable(self, step: str) -> bool:
        """Whether the step may have an earlier one's results: neither `force_rerun`, nor `is_deterministic: false` of the
        step or its component."""
        of_component = (self.body(step) or {}).get("is_deterministic", True)
        return bool(self.nodes[step].get("is_deterministic", of_component)) and not self.fields.settings.force_rerun

    def port(self, step: str, name: str) -> Mapping[str, Any] | None:
        ports = (self.body(step) or {}).get("inputs")
        found = ports.get(name) if isinstance(ports, Mapping) else None
        return found if isinstance(found, Mapping) else None

    def output_types(self, step: str) -> dict[str, str] | None:
        """The step's outputs; None where only the server knows them. Those of a loop are its body's."""
        kind = self.kind(step)
        if kind == IF_ELSE:
            return {}
        if kind in LOOPS:
            body = next((body for body, loop in self.owners.items() if loop == step), None)
            types = {} if body is None or self.kind(body) in CONTROLS else self.output_types(body)
            return (
                types if types is None or kind == DO_WHILE else {name: _gathered(name, types[name]) for name in types}
            )
        if self.opaque(step):
            return None
        found: dict[str, str] = {}
        for holder in (self.body(step), self.nodes[step]):
            given = (holder or {}).get("outputs")
            for name, value in given.items() if isinstance(given, Mapping) else ():
                own = value.get("type") if isinstance(value, Mapping) else None
                bound = binding.only(binding.value_of(value))
                if own is None and isinstance(bound, ParentOutput):
                    own = self.outputs.get(bound.name, {}).get("type")
                found[name] = str(own or found.get(name, "uri_folder"))
        if self.kind(step) == "command":
            found |= {name: "uri_folder" for name in ROOT_OUTPUTS if name not in found}
        return found


def _gathered(name: str, kind: str) -> str:
    """The type of an output of all rounds, as Azure has it: a table of what each made, or a text with the values."""
    return "string" if kind in LITERAL_TYPES else "uri_folder" if name in ROOT_OUTPUTS else "mltable"


def read(definition: Mapping[str, Any], *, alone: bool = False) -> tuple[Level | None, list[Fault]]:
    """A level of a definition whose files are in their places. `alone`: it is a component that nobody gives inputs yet."""
    body = definition.get("component")
    own = {key: value for key, value in definition.items() if key not in JOB_READ_ONLY and value is not None}
    own, forwarded, early = _outputs_apart(own)
    early += _null_inputs(own)
    if not isinstance(body, Mapping):
        model, found = faults.check(JobFields, own, JOB_KEYS)
        found = [*early, *found]
        if not isinstance(model, JobFields):
            return None, found
        nodes = {name: {k: v for k, v in node.items() if v is not None} for name, node in model.jobs.items()}
        inputs = {name: value for name, value in own.get("inputs", {}).items() if name in model.inputs}
        level = Level(definition, "", model, nodes, *_values(inputs), outputs=_given(own), forwarded=forwarded)
        return replace(level, owners=_owners(nodes)), found
    data = {key: value for key, value in body.items() if key not in COMPONENT_READ_ONLY and value is not None}
    for section in ("inputs", "outputs"):
        if isinstance(data.get(section), Mapping):
            data[section] = {name: _without_none(value, section) for name, value in data[section].items()}
    ports, port_faults = faults.check(ComponentFields, data, COMPONENT_KEYS)
    found = [*early, *(replace(one, pointer=f"/component{one.pointer or ''}") for one in port_faults)]
    model, own_faults = faults.check(JobFields, {**own, "component": None}, JOB_KEYS)
    found += own_faults
    if not isinstance(ports, ComponentFields) or not isinstance(model, JobFields):
        return None, found
    nodes = {name: {k: v for k, v in node.items() if v is not None} for name, node in ports.jobs.items()}
    level = Level(definition, "/component", model, nodes, forwarded=forwarded, owners=_owners(nodes))
    level, more = _with_ports(level, ports, own.get("inputs", {}), alone)
    outputs = {
        name: port.model_dump(exclude_unset=True, exclude={"description"}) for name, port in ports.outputs.items()
    }
    outputs |= {name: {**outputs.get(name, {}), **value} for name, value in _given(own).items()}
    return replace(level, outputs=outputs), [*found, *more]


def _owners(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, node in nodes.items():
        if str(node.get("type")).lower() in LOOPS:
            body = binding.step_named(node.get("body")) or str(node.get("body"))
            if body in nodes:
                found.setdefault(body, name)
    return found


def _outputs_apart(own: dict[str, Any]) -> tuple[dict[str, Any], dict[str, StepOutput], list[Fault]]:
    """The outputs that are texts are bindings to a step's (as the SDK sends them); the rest are declarations."""
    forwarded, found, outputs = {}, [], {}
    given = own.get("outputs")
    if not isinstance(given, Mapping):
        return own, forwarded, found
    for name, value in given.items():
        bound = binding.only(binding.value_of(value))
        if isinstance(bound, StepOutput):
            forwarded[name] = bound
            outputs[name] = {k: v for k, v in value.items() if k != "path"} if isinstance(value, Mapping) else {}
        elif isinstance(value, str):
            outputs[name] = {"path": value}
        else:
            outputs[name] = _without_none(value, "outputs")
    return {**own, "outputs": outputs}, forwarded, found


def _null_inputs(own: dict[str, Any]) -> list[Fault]:
    given, found = own.get("inputs"), []
    if isinstance(given, Mapping):
        found = [
            Fault("MissingKey", f"The input '{name}' has no value.", f"/inputs/{escape(name)}")
            for name, value in given.items()
            if value is None
        ]
        own["inputs"] = {name: _without_none(value, "inputs") for name, value in given.items() if value is not None}
    return found


def _without_none(value: Any, section: str) -> Any:
    if value is None and section == "outputs":
        return {}
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, Mapping) else value


def _given(own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    outputs = own.get("outputs")
    if not isinstance(outputs, Mapping):
        return {}
    return {name: dict(value) if isinstance(value, Mapping) else {} for name, value in outputs.items()}


def _values(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Literals bare, data as mappings; where each `path` was written."""
    values, written = {}, {}
    for name, value in inputs.items():
        if isinstance(value, Mapping) and "value" in value:
            values[name] = value["value"]
        else:
            values[name] = value
            if isinstance(value, Mapping):
                written[name] = f"/inputs/{escape(name)}/path"
    return values, written


def _with_ports(level: Level, ports: ComponentFields, given: Any, alone: bool) -> tuple[Level, list[Fault]]:
    given = given if isinstance(given, Mapping) else {}
    found: list[Fault] = []
    inputs, written = _values(given)
    values: dict[str, Any] = {}
    sampled: set[str] = set()
    for name, port in ports.inputs.items():
        place = f"/inputs/{escape(name)}"
        wrong = None
        if name in inputs:
            wrong = _wrong(name, port, inputs[name], place)
            if wrong is None and port.literal:
                values[name] = coerced(port, inputs[name])
            elif wrong is None and isinstance(inputs[name], str):
                values[name], written[name] = {**_declared(port), "path": inputs[name]}, place
            elif wrong is None:
                values[name] = {**_declared(port), **inputs[name]}
        elif port.default is not None:
            values[name] = coerced(port, port.default) if port.literal else {**_declared(port), "path": port.default}
            written[name] = f"/component{place}/default"
        elif not alone and not port.optional:
            where = "/inputs" if given else "/component"
            wrong = Fault(
                "InputMissing",
                f"The component needs the input '{name}' ({port.type}).",
                where,
                f"Add '{name}: …' under inputs." if port.literal else f"Add '{name}: {{path: …}}' under inputs.",
            )
        if wrong is not None:
            found.append(wrong)
        if wrong is not None or (alone and name not in values):
            values[name] = sample(port)
            sampled.add(name)
    level = replace(
        level,
        inputs=values,
        written={name: place for name, place in written.items() if name in values},
        optional=frozenset(name for name, port in ports.inputs.items() if port.optional),
        sampled=frozenset(sampled),
        strangers=tuple(name for name in inputs if name not in ports.inputs),
    )
    return level, found


def _wrong(name: str, port: InputPort, value: Any, place: str) -> Fault | None:
    """What is wrong with a value that a component's input is given."""
    if port.literal and isinstance(value, Mapping):
        message = f"The component's input '{name}' is of type {port.type}, not data."
        return Fault("TypesClash", message, place, f"Write '{name}: <value>'.")
    if port.literal:
        why = wrong_value(port, value)
        return None if why is None else Fault("InvalidValue", f"The input '{name}': {why}", place)
    if isinstance(value, (Mapping, str)):
        return None
    message = f"The component's input '{name}' is data of type {port.type}, not {show(value)}."
    return Fault("TypesClash", message, place, f"Write '{name}: {{path: …}}'.")


def _declared(port: InputPort) -> dict[str, Any]:
    return {"type": port.type} if port.mode is None else {"type": port.type, "mode": port.mode}


def sample(port: InputPort) -> Any:
    """A value that stands for one that is not known yet."""
    if not port.literal:
        return {"path": STAND_IN, "type": port.type}
    known = port.default if port.default is not None else port.enum[0] if port.enum else port.min
    return stand_in(port.type) if known is None else coerced(port, known)


def stand_in(kind: str) -> Any:
    """Something of a type, where what it will be is not known or wrong."""
    return _SAMPLES.get(kind, {"path": STAND_IN})


def near(name: str, known: list[str]) -> str:
    """A hint: the nearest of the names there are, or all of them."""
    close = nearest(name, known)
    return f"Did you mean '{close}'?" if close else f"There is: {', '.join(known[:20]) or 'none'}."


def is_reference(value: Any) -> bool:
    """Whether a component is named in a form that only the server can follow."""
    return isinstance(value, str) and refers(value) in (Refers.ASSET, Refers.REGISTRY, Refers.DATASTORE)
