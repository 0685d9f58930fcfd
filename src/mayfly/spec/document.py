"""A YAML 1.1 file as plain data, with the line and column of everything in it (semantics §1.1)."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

from mayfly.kit.errors import Invalid
from mayfly.spec import repair

MOST_BYTES = 1 << 20
MOST_DEPTH = 64
_LARGE = 1 << 15
"""From here on a file is read quickly first, where PyYAML has libyaml."""
MOST_BITS = 1024
MOST_NODES = 100_000
"""After aliases are written out, so that a few lines cannot become millions."""

_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "value")}


@dataclass(frozen=True, slots=True)
class Document:
    name: str
    """The file's name, for people."""
    data: dict[str, Any]
    """JSON's types only; keys are strings. Dates stay the text they were written as."""
    _values: dict[str, tuple[int, int]] = field(default_factory=dict)
    _keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    def position(self, pointer: str) -> tuple[int, int] | None:
        """Line and column, from 1, of what a JSON pointer names: its key, or the item in a list. What is not there is
        found at the nearest thing around it. None only for a document that is not from a file."""
        while True:
            found = self._keys.get(pointer) or self._values.get(pointer)
            if found is not None or not pointer:
                return found
            pointer = pointer.rpartition("/")[0]


def escape(key: str) -> str:
    """A key as one part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def load(text: str | bytes, name: str) -> Document:
    """Raises Invalid, its message beginning with `name:line:`: `YamlEmpty`, `YamlBinary`, `YamlTooLarge`,
    `YamlTooDeep`, `YamlSyntax`, `YamlSeveralDocuments`, `YamlDuplicateKey`, `YamlKeyInvalid`, `YamlValueUnsupported`,
    `YamlNotAMapping`."""
    source = _text(text, name)
    node = _compose(source, name)
    if node is None or node.tag == "tag:yaml.org,2002:null":
        raise Invalid("YamlEmpty", f"{name}: the file is empty.", remedy="A job needs a command and an environment.")
    if not isinstance(node, MappingNode):
        kind = "a list" if isinstance(node, SequenceNode) else "a single value"
        raise Invalid(
            "YamlNotAMapping",
            f"{name}:{node.start_mark.line + 1}: expected 'key: value' lines, found {kind}.",
            remedy="Begin with a key, such as 'command: python train.py'.",
        )
    reader = _Reader(name, source)
    data = reader.read(node, "", 0)
    return Document(name, data, reader.values, reader.keys)


def load_value(text: str, name: str) -> Any:
    """One YAML 1.1 value, of any kind (for `--set`). Raises as `load` does."""
    node = _compose(_text(text, name), name)
    return None if node is None else _Reader(name, text).read(node, "", 0)


def _text(text: str | bytes, name: str) -> str:
    size = len(text)
    if size > MOST_BYTES:
        raise Invalid("YamlTooLarge", f"{name}: {size} bytes are more than the {MOST_BYTES} that a job file may have.")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _binary(name, text[: error.start].count(b"\n") + 1) from error
    text = text.removeprefix("\ufeff")
    control = next((i for i, c in enumerate(text) if (c < " " and c not in "\t\n\r") or c == "\x7f"), None)
    if control is not None:
        raise _binary(name, text[:control].count("\n") + 1)
    return text


def _binary(name: str, line: int) -> Invalid:
    return Invalid(
        "YamlBinary", f"{name}:{line}: this is no text in UTF-8.", remedy="Give the job's YAML file, saved as UTF-8."
    )


class _Composer(Composer):
    """PyYAML's, with a limit of depth before Python's own is reached."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise _TooDeep(self.peek_event().start_mark.line + 1)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Loader(_Composer, yaml.SafeLoader):
    pass


def _quickly(text: str) -> Node | None:
    """With libyaml's events: a fifth of the time. What that finds wrong is said in other words."""

    class Quick(_Composer, yaml.cyaml.CParser, Resolver):  # pyright: ignore[reportAttributeAccessIssue]
        def __init__(self) -> None:
            yaml.cyaml.CParser.__init__(self, text)  # pyright: ignore[reportAttributeAccessIssue]
            Composer.__init__(self)
            Resolver.__init__(self)

    return Quick().get_single_node()


class _TooDeep(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _compose(text: str, name: str) -> Node | None:
    try:
        if len(text) > _LARGE and yaml.__with_libyaml__:
            with suppress(yaml.YAMLError):
                return _quickly(text)
        return yaml.compose(text, _Loader)
    except _TooDeep as error:
        raise Invalid("YamlTooDeep", f"{name}:{error.line}: nested more than {MOST_DEPTH} levels deep.") from error
    except yaml.YAMLError as error:
        raise _syntax(text, name, error) from error


def _syntax(text: str, name: str, error: yaml.YAMLError) -> Invalid:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Invalid("YamlSyntax", f"{name}: {error}")
    where = f"{name}:{mark.line + 1}"
    if "single document" in str(getattr(error, "context", "")):
        return Invalid(
            "YamlSeveralDocuments", f"{where}: a second document begins here.", remedy="Keep one job in a file."
        )
    return Invalid(
        "YamlSyntax",
        f"{where}: {repair.explain(text, error)} (column {mark.column + 1}).",
        remedy=repair.suggest(text),
    )


class _Reader:
    """Nodes to plain data, remembering where everything stood."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._scalars = yaml.SafeLoader("")
        self._count = 0
        self.values: dict[str, tuple[int, int]] = {}
        self.keys: dict[str, tuple[int, int]] = {}

    def read(self, node: Node, pointer: str, depth: int) -> Any:
        self._limit(node, depth)
        self.values[pointer] = _place(node)
        if isinstance(node, MappingNode):
            return self._mapping(node, pointer, depth)
        if isinstance(node, SequenceNode):
            if node.tag != "tag:yaml.org,2002:seq":
                raise self._fault("YamlValueUnsupported", node, f"the tag {_short(node.tag)} is not understood here.")
            return [self.read(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _limit(self, node: Node, depth: int) -> None:
        self._count += 1
        if self._count > MOST_NODES or depth > MOST_DEPTH:
            raise self._fault("YamlTooLarge", node, "its aliases (*name) make this file too large.")

    def _mapping(self, node: MappingNode, pointer: str, depth: int) -> dict[str, Any]:
        if node.tag != "tag:yaml.org,2002:map":
            raise self._fault("YamlValueUnsupported", node, f"the tag {_short(node.tag)} is not understood here.")
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        # Merged keys first, so that the places of the mapping's own keys replace theirs.
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                self._merge(value, pointer, depth, merged)
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            text = self._key(key)
            below = f"{pointer}/{escape(text)}"
            if text in data:
                line = self.keys[below][0]
                raise self._fault("YamlDuplicateKey", key, f"'{text}' is already given on line {line}.")
            self.keys[below] = _place(key)
            data[text] = self.read(value, below, depth + 1)
        return {**{key: value for key, value in merged.items() if key not in data}, **data}

    def _merge(self, node: Node, pointer: str, depth: int, merged: dict[str, Any]) -> None:
        """`<<: *base`, or a list of them, of which the earlier wins."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode):
                raise self._fault("YamlValueUnsupported", source, "'<<' takes mappings only.")
            self._limit(source, depth)
            for key, value in self._mapping(source, pointer, depth + 1).items():
                merged.setdefault(key, value)

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._fault("YamlKeyInvalid", node, "a key must be a name, not a list or mapping.")
        if node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:value"):
            kind = _short(node.tag)
            raise self._fault(
                "YamlKeyInvalid",
                node,
                f"the key {node.value} is no text: YAML 1.1 reads it as {kind}.",
                f"Write '{node.value}' in quotes.",
            )
        return str(node.value)

    def _scalar(self, node: Node) -> Any:
        if node.tag not in _PLAIN_TAGS:
            raise self._fault("YamlValueUnsupported", node, f"the tag {_short(node.tag)} is not understood here.")
        if node.tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"):
            return str(node.value)
        try:
            value = self._scalars.construct_object(node)
        except (ValueError, yaml.YAMLError, OverflowError) as error:
            raise self._fault("YamlValueUnsupported", node, f"'{node.value[:40]}' is not understood.") from error
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise self._fault(
                "YamlValueUnsupported", node, "the number is too large to be kept.", "Write it in quotes."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise self._fault(
                "YamlValueUnsupported", node, f"{node.value} is not a number that can be kept.", "Write it in quotes."
            )
        return value

    def _fault(self, code: str, node: Node, what: str, remedy: str | None = None) -> Invalid:
        return Invalid(code, f"{self._name}:{node.start_mark.line + 1}: {what}", remedy=remedy)


def _place(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _short(tag: str) -> str:
    names = {"bool": "true or false", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}
    kind = tag.removeprefix("tag:yaml.org,2002:")
    return names.get(kind, f"'!{kind.lstrip('!')}'")
