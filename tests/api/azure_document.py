"""Azure's public OpenAPI documents (`mfe.json` and those beside it), as far as they say what an answer looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
_DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?\Z")
_FORMATS = {"date-time": _MOMENT, "duration": _DURATION}


@dataclass(frozen=True)
class Document:
    """Keys that it does not know are no fault: what was sent with unknown keys comes back with them. Documents that it refers
    to and that do not lie beside it are not looked into."""

    path: Path

    @cached_property
    def body(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))

    def faults(self, method: str, path: str, status: int, answer: Any) -> list[str] | None:
        """What is wrong with an answer; None for an operation that is not in the document."""
        operation = self._operation(method.lower(), path)
        if operation is None:
            return None
        responses = operation["responses"]
        if str(status) not in responses:
            return [] if status >= 400 else [f"{method} {path} answers {status}, not one of {', '.join(responses)}"]
        schema = responses[str(status)].get("schema")
        return [] if schema is None else [f"{method} {path}: {one}" for one in self._check(schema, answer, "")]

    @cached_property
    def _operations(self) -> list[tuple[re.Pattern[str], Mapping[str, Any]]]:
        found = []
        for template, methods in self.body["paths"].items():
            words = re.split(r"\{\w+\}", template)
            found.append((re.compile("[^/]+".join(map(re.escape, words)) + r"\Z", re.IGNORECASE), methods))
        return found

    def _operation(self, method: str, path: str) -> Mapping[str, Any] | None:
        return next((methods.get(method) for form, methods in self._operations if form.match(path)), None)

    def _named(self, reference: str) -> tuple[Document, dict[str, Any]] | None:
        file, _, pointer = reference.partition("#")
        there = self if not file else Document((self.path.parent / file).resolve())
        if not there.path.is_file():
            return None
        found: Any = there.body
        for part in pointer.strip("/").split("/"):
            found = found[part]
        return there, found

    def _check(self, schema: Mapping[str, Any], value: Any, at: str) -> Iterator[str]:
        if value is None:
            return  # absent and null mean the same to Azure's clients
        if "$ref" in schema:
            found = self._named(schema["$ref"])
            if found is not None:
                yield from found[0]._check(found[1], value, at)
            return
        kind = schema.get("type", "object" if "properties" in schema or "allOf" in schema else "")
        right = _KINDS.get(kind, (object,))
        if not isinstance(value, right) or (isinstance(value, bool) and bool not in right and object not in right):
            yield f"{at or '/'} is {json.dumps(value)[:80]}, not of type {kind}"
            return
        if isinstance(value, str):
            yield from _text(schema, value, at)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                yield from self._check(schema.get("items", {}), one, f"{at}/{number}")
        elif isinstance(value, dict):
            yield from self._object(schema, value, at)

    def _object(self, schema: Mapping[str, Any], value: dict[str, Any], at: str) -> Iterator[str]:
        for name in schema.get("required", ()):
            if value.get(name) is None:
                yield f"{at}/{name} is missing"
        for name, one in schema.get("properties", {}).items():
            yield from self._check(one, value.get(name), f"{at}/{name}")
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from self._check(more, value[name], f"{at}/{name}")
        for one in schema.get("allOf", ()):
            yield from self._check(one, value, at)
        if "discriminator" in schema:
            yield from self._kind(schema, value, at)

    def _kind(self, schema: Mapping[str, Any], value: dict[str, Any], at: str) -> Iterator[str]:
        """As which of the kinds that inherit from it the value says it is."""
        said = value.get(schema["discriminator"])
        own = next(name for name, one in self.body["definitions"].items() if one is schema)
        kinds = {
            one.get("x-ms-discriminator-value", name): one
            for name, one in self.body["definitions"].items()
            if any(base.get("$ref") == f"#/definitions/{own}" for base in one.get("allOf", ()))
        }
        if said not in kinds:
            yield f"{at}/{schema['discriminator']} is {said!r}, not one of {', '.join(kinds)}"
            return
        rest = {key: part for key, part in kinds[said].items() if key not in ("allOf", "discriminator")}
        others = [one for one in kinds[said]["allOf"] if one.get("$ref") != f"#/definitions/{own}"]
        yield from self._object({**rest, "allOf": others}, value, at)


def _text(schema: Mapping[str, Any], value: str, at: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is {value!r}, not one of {', '.join(schema['enum'])}"
    form = _FORMATS.get(schema.get("format", ""))
    if form is not None and not form.match(value):
        yield f"{at} is {value!r}, which is no {schema['format']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at} is {value!r}, which does not match {schema['pattern']}"
    if len(value) < schema.get("minLength", 0):
        yield f"{at} is shorter than {schema['minLength']}"
