"""`--set a.b.c=value`, applied to what was written before it is checked (semantics §1.7)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from mayfly.kit.errors import Invalid
from mayfly.spec.document import load_value


def apply(data: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """A copy of `data` with each `a.b.c=value` set, in order. Values are YAML 1.1; missing mappings are made; a whole
    number steps into a list. Raises Invalid `SetInvalid`, which also refuses to go through a string: what a reference
    points to is not part of this file."""
    changed = copy.deepcopy(data)
    for setting in settings:
        path, equals, text = setting.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            raise _wrong(
                setting, "is not of the form a.b.c=value", "Write for example --set resources.instance_count=2."
            )
        _put(changed, parts, load_value(text, f"--set {path.strip()}"), setting)
    return changed


def _put(data: dict[str, Any], parts: list[str], value: Any, setting: str) -> None:
    place: Any = data
    for depth, part in enumerate(parts[:-1]):
        if isinstance(place, dict) and place.get(part) is None:
            place[part] = {}
        place = _into(place, part, ".".join(parts[: depth + 1]), setting)
    if isinstance(place, dict):
        place[parts[-1]] = value
        return
    index = _index(place, parts[-1], ".".join(parts), setting)
    place[index] = value


def _into(place: Any, part: str, so_far: str, setting: str) -> Any:
    found = place[part] if isinstance(place, dict) else place[_index(place, part, so_far, setting)]
    if isinstance(found, str):
        raise _wrong(setting, f"goes through '{so_far}', which is the text '{found}'", "Set the whole of it instead.")
    if not isinstance(found, (dict, list)):
        raise _wrong(setting, f"goes through '{so_far}', which is the value {found}", "Set the whole of it instead.")
    return found


def _index(place: Any, part: str, so_far: str, setting: str) -> int:
    if not (part.isascii() and part.isdecimal() and len(part) < 9) or int(part) >= len(place):
        raise _wrong(setting, f"asks for '{so_far}', which is not in the list of {len(place)}", "Count from 0.")
    return int(part)


def _wrong(setting: str, what: str, remedy: str) -> Invalid:
    return Invalid("SetInvalid", f"--set {setting} {what}.", remedy=remedy)
