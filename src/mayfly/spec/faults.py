"""From what pydantic found to what a person reads: every fault at once, each with its place and the nearest valid key."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mayfly.kit.errors import Fault, nearest
from mayfly.spec.document import escape
from mayfly.spec.fields import Shape, show
from mayfly.spec.models import DISTRIBUTIONS, KEYS

_WANTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "dict_type": "'key: value' lines",
    "model_type": "'key: value' lines",
    "model_attributes_type": "'key: value' lines",
    "list_type": "a list",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
_STAND_INS: dict[str, Any] = {"command": "true", "environment": {"image": "stand-in"}}

Path = tuple[str | int, ...]


def pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{escape(str(part))}" for part in path)


Keys = Mapping[tuple[str, ...], type[Shape]]
"""Which keys may stand where ('*' is any name): what an unknown one is compared with."""


def check(model: type[BaseModel], data: dict[str, Any], keys: Keys = KEYS) -> tuple[BaseModel | None, list[Fault]]:
    """The model of `data` and no fault; or the faults, with a model of what is left when the faulty parts are taken
    out, for whoever can say more about it (None when nothing sensible is left)."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = [(_path(e, data), e) for e in error.errors(include_url=False)]
    faults = {
        (fault.pointer, fault.code): fault for path, e in reversed(found) for fault in [_fault(path, e, data, keys)]
    }
    ordered = sorted(faults.values(), key=lambda fault: _order(data, fault.pointer or ""))
    rest = copy.deepcopy(data)
    for path, _ in found:
        _take_out(rest, path)
    try:
        return model.model_validate(rest), ordered
    except ValidationError:
        return None, ordered


def _path(error: ErrorDetails, data: Any) -> Path:
    """Without the names of union members, and without '[key]' marks; a key that was written so is no mark."""
    found: list[str | int] = []
    for part in error["loc"]:
        written = isinstance(data, dict) and part in data
        if isinstance(part, str) and not written and part[:1] in ("<", "[") and part[-1:] in (">", "]"):
            continue
        found.append(part)
        data = _at(data, (part,))
    return tuple(found)


def _fault(path: Path, error: ErrorDetails, data: dict[str, Any], keys: Keys) -> Fault:
    kind, place = error["type"], pointer(path)
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, data, keys)
    if kind == "missing":
        return Fault("MissingKey", f"'{path[-1]}' is missing{_inside(path)}.", place, _hint(path))
    if kind == "choice":
        return Fault("InvalidValue", error["msg"], place, str(context.get("remedy")))
    if kind == "mayfly":
        return Fault(str(context.get("code")), error["msg"], place, context.get("remedy"))
    found = show(_at(data, path))
    wanted = _WANTED.get(kind)
    if wanted is None:
        return Fault("WrongType", f"{error['msg']} (found {found}).", place)
    quoted = wanted == "text" and not isinstance(_at(data, path), (dict, list, type(None)))
    return Fault("WrongType", f"Expected {wanted}, found {found}.", place, "Put it in quotes." if quoted else None)


def _unknown(path: Path, data: dict[str, Any], keys: Keys) -> Fault:
    allowed = _allowed(path[:-1], data, keys)
    name = str(path[-1])
    beside = _at(data, path[:-1])
    if path[0] == "inputs" and isinstance(beside, dict) and "value" in beside:
        return Fault(
            "UnknownKey",
            f"The key '{name}'{_inside(path)} does not go with 'value'.",
            pointer(path),
            f"For a literal write '{path[1]}: {beside['value']}'; for data write 'path' instead of 'value'.",
        )
    close = nearest(name, allowed)
    elsewhere = _elsewhere(name, keys) if len(path) == 1 else None
    if close is None and elsewhere:
        remedy = f"'{name}' belongs under '{elsewhere}'."
    elif close is not None:
        remedy = f"Did you mean '{close}'?"
    else:
        remedy = f"Valid keys here: {', '.join(sorted(allowed))}."
    return Fault("UnknownKey", f"Unknown key '{name}'{_inside(path)}.", pointer(path), remedy)


def _allowed(path: Path, data: dict[str, Any], keys: Keys) -> list[str]:
    if path == ("distribution",):
        kind = (_at(data, path) or {}).get("type")
        return list(DISTRIBUTIONS.get(str(kind), Shape).model_fields)
    for pattern, shape in keys.items():
        if len(pattern) == len(path) and all(p in ("*", q) for p, q in zip(pattern, path, strict=True)):
            extra = ["type"] if not pattern and keys is KEYS else []
            return [*shape.model_fields, *extra]
    return []


def _elsewhere(name: str, keys: Keys) -> str | None:
    """The one section that has this key, or one like it."""
    sections = {".".join(p): list(shape.model_fields) for p, shape in keys.items() if p and "*" not in p}
    exact = [section for section, there in sections.items() if name in there]
    near = [f"{section}' as '{key}" for section, there in sections.items() if (key := nearest(name, there)) is not None]
    found = exact or (near if len(name) > 4 else [])
    return found[0] if len(found) == 1 else None


def _inside(path: Path) -> str:
    return f" in '{'.'.join(map(str, path[:-1]))}'" if len(path) > 1 else ""


def _hint(path: Path) -> str | None:
    return {
        ("command",): "Add for example 'command: python train.py'.",
        ("environment",): "Add for example 'environment: {image: library/python:latest}'.",
    }.get(path)  # type: ignore[arg-type]


def _at(data: Any, path: Path) -> Any:
    for part in path:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def _order(data: dict[str, Any], place: str) -> tuple[int, str]:
    keys = [pointer((key,)) for key in data]
    top = "/" + place.split("/")[1] if place else ""
    return (keys.index(top) if top in keys else len(keys), place)


def _take_out(data: dict[str, Any], path: Path) -> None:
    top = str(path[0]) if path else ""
    if top in _STAND_INS:
        data[top] = _STAND_INS[top]
    elif top == "inputs" and len(path) > 1 and isinstance(data.get(top), dict):
        data[top][path[1]] = 0
    elif top == "outputs" and len(path) > 1 and isinstance(data.get(top), dict):
        data[top][path[1]] = {}
    else:
        if top in ("inputs", "outputs"):
            data["command"] = _STAND_INS["command"]
        data.pop(top, None)
