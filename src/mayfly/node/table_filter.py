"""The filter of an MLTable, `col("x") > 1 and col("y") == "a"`, made into a function of a row. It is parsed, never run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mayfly.kit.errors import Invalid, nearest

Row = Sequence[Any]
Part = Callable[[Row], Any]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COUNT: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_LONGEST, _DEEPEST = 10_000, 50
_KINDS = {int: "a number", float: "a number", bool: "true or false", str: "text", datetime: "a time"}


def parse_cell(kind: str) -> Callable[[Any], Any]:
    """How a cell of a column of this kind is understood; what is not of the kind is None."""

    def understood(cell: Any) -> Any:
        if not isinstance(cell, str) or kind == "text":
            return cell
        try:
            if kind in ("int", "float"):
                return None if "_" in cell else int(cell) if kind == "int" else float(cell)
            if kind == "boolean":
                return {"true": True, "false": False}[cell.strip().lower()]
            return datetime.fromisoformat(cell.strip())
        except (ValueError, KeyError):
            return None

    return understood


def compiled(text: str, names: Sequence[str], kinds: Mapping[str, str]) -> Callable[[Row], bool]:
    """Whether a row is kept. What is compared with an empty cell is neither true nor false, and such a row is dropped.
    Raises Invalid `MltableFilterInvalid`."""
    try:
        if len(text) > _LONGEST:
            raise _wrong(text[:40] + "…", "it is too long")
        tree = ast.parse(text.strip(), mode="eval").body
        part = _Compiler(text, names, kinds).part(tree, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _wrong(text, f"it cannot be read ({getattr(error, 'msg', error)})") from error
    return lambda row: part(row) is True


def _wrong(text: str, why: str) -> Invalid:
    return Invalid(
        "MltableFilterInvalid",
        f"The filter {text!r} of the MLTable cannot be used: {why}.",
        remedy='Write it as: col("x") > 1 and col("y") == "a".',
    )


class _Compiler:
    def __init__(self, text: str, names: Sequence[str], kinds: Mapping[str, str]) -> None:
        self._text, self._names, self._kinds = text, list(names), kinds

    def part(self, node: ast.expr, depth: int) -> Part:
        if depth > _DEEPEST:
            raise _wrong(self._text, "it is nested too deeply")
        inner = depth + 1
        match node:
            case ast.BoolOp():
                return _either([self.part(one, inner) for one in node.values], isinstance(node.op, ast.Or))
            case ast.UnaryOp(op=ast.Not()):
                return _not(self.part(node.operand, inner))
            case ast.UnaryOp(op=ast.USub()):
                return _applied(lambda _, value: -value, lambda _: 0, self.part(node.operand, inner))
            case ast.BinOp() if type(node.op) in _COUNT:
                return _applied(_COUNT[type(node.op)], self.part(node.left, inner), self.part(node.right, inner))
            case ast.Compare():
                return self._compared(node, inner)
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return lambda _: value
            case ast.Name() | ast.Call():
                return self._named(node)
            case _:
                said = ast.get_source_segment(self._text.strip(), node) or type(node).__name__
                raise _wrong(self._text, f"'{said}' is not understood")

    def _compared(self, node: ast.Compare, depth: int) -> Part:
        sides = [node.left, *node.comparators]
        parts: list[Part] = []
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if type(op) not in _COMPARE:
                raise _wrong(self._text, "only == != < <= > >= compare")
            one, other = self._fitting(left, right, depth), self._fitting(right, left, depth)
            parts.append(_applied(_COMPARE[type(op)], one, other))
        return parts[0] if len(parts) == 1 else _either(parts, any_of=False)

    def _fitting(self, node: ast.expr, other: ast.expr, depth: int) -> Part:
        """The part, checked against the kind of the column that it is compared with."""
        part = self.part(node, depth)
        column = self._column(other)
        if not isinstance(node, ast.Constant) or column is None or node.value is None:
            return part
        kind, value = self._kinds.get(column, "text"), node.value
        if kind == "datetime" and isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise _wrong(self._text, f"{value!r} is no time, and the column '{column}' holds times") from None
            return lambda _: moment
        fits = isinstance(value, str) == (kind == "text") and kind != "datetime"
        if not fits:
            said = {"text": "text", "datetime": "times", "boolean": "true and false"}.get(kind, "numbers")
            what = _KINDS.get(type(value), "something else")
            raise _wrong(self._text, f"the column '{column}' holds {said} and is compared with {what}")
        return part

    def _column(self, node: ast.expr) -> str | None:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as name)], keywords=[]):
                return name
            case _:
                return None

    def _named(self, node: ast.Name | ast.Call) -> Part:
        name = self._column(node)
        if name is not None:
            if name not in self._names:
                close = nearest(name, self._names)
                raise _wrong(self._text, f"there is no column '{name}'" + (f"; '{close}' is near" if close else ""))
            place, understood = self._names.index(name), parse_cell(self._kinds.get(name, "text"))
            return lambda row: understood(row[place])
        match node:
            case ast.Call(func=ast.Name(id="datetime"), args=args, keywords=[]):
                numbers = [one.value for one in args if isinstance(one, ast.Constant) and isinstance(one.value, int)]
                try:
                    moment = datetime(*numbers)  # type: ignore[arg-type]
                except (TypeError, ValueError):
                    raise _wrong(self._text, "datetime(…) takes a year, a month and a day") from None
                return lambda _: moment
            case _:
                raise _wrong(self._text, "only col(…) and datetime(…) can be called")


def _applied(does: Callable[[Any, Any], Any], left: Part, right: Part) -> Part:
    def value(row: Row) -> Any:
        one, other = left(row), right(row)
        if one is None or other is None:
            return None
        try:
            return does(one, other)
        except (TypeError, ArithmeticError):
            return None

    return value


def _not(part: Part) -> Part:
    def value(row: Row) -> Any:
        found = part(row)
        return None if found is None else not found

    return value


def _either(parts: Sequence[Part], any_of: bool) -> Part:
    """`or`, or `and`: decided by the first that decides; what is unknown stays unknown."""

    def value(row: Row) -> Any:
        unknown = False
        for part in parts:
            found = part(row)
            if found is None:
                unknown = True
            elif bool(found) is any_of:
                return any_of
        return None if unknown else not any_of

    return value
