"""The configuration file of the state folder, read and changed by whoever owns it. A server sees each change at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mayfly.kit.errors import Invalid, nearest
from mayfly.spec import document, overrides, settings
from mayfly.spec.settings import Settings

FILE = "config.yml"


def load(folder: Path) -> Settings:
    """Raises Invalid `ConfigInvalid` and those of `spec.document.load`."""
    return settings.parse(_document(folder))


def written(folder: Path) -> dict[str, Any]:
    """What the file says, without defaults."""
    load(folder)
    return _document(folder).data


def get(folder: Path, key: str) -> Any:
    """A value, default or not. Raises Invalid `ConfigKeyUnknown`."""
    section, inner = _place(key)
    value = load(folder).model_dump()[section]
    if inner is None:
        return value
    if not isinstance(value, dict) or inner not in value:
        raise Invalid("ConfigKeyUnknown", f"'{key}' is not set.", remedy="See mayfly config list.")
    return value[inner]


def put(folder: Path, key: str, text: str) -> Settings:
    """Set a value, written as in YAML; the settings as they are then. Nothing is written when they would be wrong."""
    section, inner = _place(key)
    data = dict(_document(folder).data)
    value = overrides.apply({}, [f"value={text}"])["value"]
    if inner is None:
        data[section] = value
    else:
        data[section] = {**_mapping(data, section), inner: value}
    return _write(folder, data)


def drop(folder: Path, key: str) -> Settings:
    """Take a value out, so that its default holds. Raises Invalid `ConfigKeyUnknown` when it is not there."""
    section, inner = _place(key)
    data = dict(_document(folder).data)
    there = data.get(section) if inner is None else _mapping(data, section).get(inner)
    if there is None:
        raise Invalid("ConfigKeyUnknown", f"'{key}' is not set.", remedy="See mayfly config list.")
    if inner is None:
        del data[section]
    else:
        data[section] = {name: value for name, value in _mapping(data, section).items() if name != inner}
    return _write(folder, data)


def _document(folder: Path) -> document.Document:
    path = folder / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        text = b""
    return document.load(text, str(path)) if text.strip() else document.Document(str(path), {})


def _place(key: str) -> tuple[str, str | None]:
    """A section, and a name in it where the section has names: addresses may hold dots."""
    section, dot, inner = key.strip().partition(".")
    known = list(Settings.model_fields)
    if section not in known:
        near = nearest(section, known)
        raise Invalid(
            "ConfigKeyUnknown",
            f"There is no setting '{section}'.",
            remedy=f"Did you mean '{near}'?" if near else f"There are: {', '.join(known)}.",
        )
    return section, inner if dot and inner else None


def _mapping(data: Mapping[str, Any], section: str) -> dict[str, Any]:
    found = data.get(section)
    if found is not None and not isinstance(found, dict):
        raise Invalid("ConfigKeyUnknown", f"'{section}' has no names below it.", remedy=f"Set '{section}' itself.")
    return dict(found or {})


def _write(folder: Path, data: dict[str, Any]) -> Settings:
    """Whole or not at all, and only when it is right."""
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if data else ""
    found = settings.parse(document.load(text, FILE) if data else document.Document(FILE, {}))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=folder, prefix=FILE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(folder / FILE)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return found
