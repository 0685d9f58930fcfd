"""A command component (semantics §19): read, checked, and the rules of the values that its inputs take. What becomes of
one is not here: `spec.expansion` makes a command job of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.spec import checks, faults, texts
from mayfly.spec.document import escape
from mayfly.spec.fields import Filled, Labels, Scalar, Shape, choice, show
from mayfly.spec.fragments import FRAGMENT, inputs_in, written_out
from mayfly.spec.job import invalid
from mayfly.spec.models import KEYS as JOB_KEYS
from mayfly.spec.models import Distribution, EnvironmentField, Resources, output_mode
from mayfly.spec.paths import LocalPath
from mayfly.spec.words import ASSET_TYPES, INPUT_MODES, LITERAL_TYPES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,254}\Z")
_OTHER_TYPES = ("pipeline", "parallel", "sweep", "spark", "automl", "import", "data_transfer", "flow_parallel")
_READ_ONLY = frozenset({"$schema", "id", "creation_context", "auto_delete_setting", "intellectual_property"})
_BARE = re.compile(r"\s*inputs\.[\w-]+\s*\Z")
"""Of a fragment: an input without ${{ }}. Public files have it, and it is no expression: it stays as it is written."""


def _kind(value: Any) -> str:
    # `path` is what uri_folder was called once; public components still say so.
    return "uri_folder" if value == "path" else choice(*LITERAL_TYPES, *ASSET_TYPES)(value)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class InputPort(Shape):
    type: Annotated[str, BeforeValidator(_kind)]
    description: str | None = None
    default: Scalar | None = None
    optional: bool = False
    min: Scalar | None = None
    max: Scalar | None = None
    enum: list[Scalar] | None = None
    mode: Annotated[str, BeforeValidator(choice(*INPUT_MODES))] | None = None

    @property
    def literal(self) -> bool:
        return self.type in LITERAL_TYPES


class OutputPort(Shape):
    type: Annotated[str, BeforeValidator(_kind)] = "uri_folder"
    description: str | None = None
    is_control: bool = False
    early_available: bool = False
    mode: Annotated[str, BeforeValidator(output_mode)] | None = None


class Fields(Shape):
    """The keys of a component's file."""

    command: Filled
    environment: EnvironmentField
    name: Filled | None = None
    version: Annotated[str, BeforeValidator(_text)] | None = None
    type: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: Labels = {}
    properties: Labels = {}
    is_deterministic: bool = True
    code: Filled | None = None
    distribution: Distribution | None = None
    resources: Resources = Resources()
    inputs: dict[str, InputPort] = {}
    outputs: dict[str, OutputPort] = {}
    additional_includes: list[Filled] = []


KEYS: dict[tuple[str, ...], type[Shape]] = {
    (): Fields,
    ("inputs", "*"): InputPort,
    ("outputs", "*"): OutputPort,
    **{path: JOB_KEYS[path] for path in (("environment",), ("environment", "build"), ("resources",))},
}


@dataclass(frozen=True, slots=True)
class Component:
    body: dict[str, Any]
    """As it was written, without what Azure itself fills in."""
    fields: Fields

    @property
    def inputs(self) -> dict[str, InputPort]:
        return self.fields.inputs


def read(body: Mapping[str, Any], *, named: bool = False) -> Component:
    """Raises Invalid with every fault, pointers relative to the component. `named`: it is to be kept under its name, so
    it needs one."""
    kind = body.get("type")
    if kind is not None and str(kind).lower() != "command":
        known = str(kind).lower() in _OTHER_TYPES
        close = None if known else nearest(str(kind), ["command", *_OTHER_TYPES])
        raise Invalid(
            "ComponentTypeNotSupported",
            f"A component of type {kind} cannot be run as a command job."
            if known
            else f"Unknown component type: {kind}.",
            pointer="/type",
            remedy=f"Did you mean '{close}'?" if close else "Components of type command can.",
        )
    data = {key: value for key, value in body.items() if key not in _READ_ONLY and value is not None}
    for section in ("inputs", "outputs"):
        if isinstance(data.get(section), dict):
            data[section] = {name: _ported(value, section) for name, value in data[section].items()}
    model, found = faults.check(Fields, data, KEYS)
    everything = [*found, *texts.check(data)]
    if isinstance(model, Fields):
        everything += _check(model, named)
        if not everything:
            return Component(data, model)
    raise invalid(everything)


def local_paths(component: Mapping[str, Any]) -> dict[str, LocalPath]:
    """As `CommandJob.local_paths`, of a component by itself, whose pointers are relative to it. A component with includes
    and no code of its own has a code folder all the same: its path is ''."""
    fields = read(component).fields
    found: dict[str, LocalPath] = {}
    if fields.code is not None or fields.additional_includes:
        found["/code"] = LocalPath(fields.code or "", "code")
    build = getattr(fields.environment, "build", None)
    if build is not None:
        found["/environment/build/path"] = LocalPath(build.path, "build", build.dockerfile_path or "Dockerfile")
    return found


def coerced(port: InputPort, value: Any) -> str | int | float | bool:
    """A literal as the component's input has it: `int(float(v))`, `float(v)`, 'true' in any case (semantics §12); a number
    keeps the digits it was written with. Raises ValueError with what was expected."""
    if port.type == "integer":
        try:
            return value if isinstance(value, int) and not isinstance(value, bool) else int(float(value))
        except (ValueError, TypeError, OverflowError):
            raise ValueError("a whole number") from None
    if port.type == "number":
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (ValueError, TypeError, OverflowError):
            number = math.nan
        if math.isnan(number):
            raise ValueError("a number")
        return value if isinstance(value, int) else number
    if port.type == "boolean":
        if str(value).lower() not in ("true", "false"):
            raise ValueError("true or false")
        return str(value).lower() == "true"
    return str(value)


def notes(command: str) -> tuple[str, ...]:
    """What of a component's command does something else than it may seem."""
    bare = [match[1].strip() for match in FRAGMENT.finditer(command) if _BARE.match(match[1])]
    return tuple(
        f"$[[{one}]]: the command gets the text '{one}', for a value is written ${{{{{one}}}}}" for one in bare
    )


def _ported(value: Any, section: str) -> Any:
    if value is None and section == "outputs":
        return {}
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


def check_name(name: Any) -> Fault | None:
    """What is wrong with the name that a component is to be kept under."""
    if name is None:
        return Fault("MissingKey", "'name' is missing.", "/name", "Add for example 'name: train_model'.")
    if _NAME.match(str(name)):
        return None
    return Fault(
        "NameInvalid",
        f"{show(name)} cannot be a component's name.",
        "/name",
        "Use lower-case letters, digits and '_', beginning with a letter.",
    )


def _check(fields: Fields, named: bool) -> Iterator[Fault]:
    if named and (wrong := check_name(fields.name)) is not None:
        yield wrong
    yield from checks.names(fields)
    for name, port in fields.inputs.items():
        yield from _port(name, port)
    yield from _fragment_faults(fields)
    without = fields.model_copy(update={"command": written_out(fields.command, ())})
    yield from checks.command(without)


def _port(name: str, port: InputPort) -> Iterator[Fault]:
    place = f"/inputs/{escape(name)}"
    limits = [key for key in ("min", "max", "enum") if getattr(port, key) is not None]
    if not port.literal:
        for key in limits:
            yield Fault("InvalidValue", f"'{key}' has no meaning for an input of type {port.type}.", f"{place}/{key}")
        return
    for key in ("min", "max"):
        if key in limits and port.type not in ("number", "integer"):
            yield Fault("InvalidValue", f"'{key}' has no meaning for an input of type {port.type}.", f"{place}/{key}")
            return
        if key in limits and (why := wrong_value(port, getattr(port, key), limited=False)):
            yield Fault("InvalidValue", f"'{key}': {why}", f"{place}/{key}")
            return
    if port.min is not None and port.max is not None and float(port.min) > float(port.max):
        yield Fault("InvalidValue", f"min {port.min} is greater than max {port.max}.", f"{place}/min")
    if port.default is not None and (why := wrong_value(port, port.default)):
        yield Fault("InvalidValue", f"The default does not fit: {why}", f"{place}/default")


def wrong_value(port: InputPort, value: Any, *, limited: bool = True) -> str | None:
    """What is wrong with a literal for this input, in a sentence."""
    try:
        found = coerced(port, value)
    except ValueError as error:
        return f"expected {error}, found {show(value)}."
    if not limited:
        return None
    if port.min is not None and isinstance(found, (int, float)) and found < float(port.min):
        return f"{found} is less than {port.min}, the least allowed."
    if port.max is not None and isinstance(found, (int, float)) and found > float(port.max):
        return f"{found} is more than {port.max}, the most allowed."
    if port.enum is not None and str(found) not in [str(coerced_or(port, one)) for one in port.enum]:
        close = nearest(str(found), [str(one) for one in port.enum])
        hint = f" Did you mean {close}?" if close else ""
        return f"'{found}' is not one of {', '.join(map(str, port.enum))}.{hint}"
    return None


def coerced_or(port: InputPort, value: Any) -> Any:
    """As `coerced`; the value itself where it does not fit."""
    try:
        return coerced(port, value)
    except ValueError:
        return value


def _fragment_faults(fields: Fields) -> Iterator[Fault]:
    rest = FRAGMENT.sub("", fields.command)
    if "$[[" in rest:
        yield Fault("ExpressionInvalid", "'$[[' is never closed.", "/command", "Close it with ']]'.")
        return
    for match in FRAGMENT.finditer(fields.command):
        used = inputs_in(match[1])
        if not used and not _BARE.match(match[1]):
            yield Fault(
                "ExpressionInvalid", f"'{match[0]}' names no optional input.", "/command", "Write it without $[[ ]]."
            )
        for name in used:
            port = fields.inputs.get(name)
            if port is not None and not port.optional:
                yield Fault(
                    "ExpressionMisplaced",
                    f"'{name}' stands in $[[ ]] but is not optional.",
                    "/command",
                    f"Add 'optional: true' to the input '{name}', or take it out of $[[ ]].",
                )
    for name in inputs_in(rest):
        port = fields.inputs.get(name)
        if port is not None and port.optional and port.default is None:
            shown = f"${{{{inputs.{name}}}}}"
            yield Fault(
                "ExpressionMisplaced",
                f"The input '{name}' is optional, so {shown} may have no value.",
                "/command",
                f"Put it in $[[ … {shown} … ]], or give it a default.",
            )
