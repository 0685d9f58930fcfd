"""The transformations of an MLTable, one after the other."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

from mayfly.kit.errors import Invalid, nearest
from mayfly.node import table_readers
from mayfly.node.table_files import TableFile
from mayfly.node.table_filter import compiled
from mayfly.node.table_readers import Reading, Table

READERS: dict[str, Callable[[Reading], Table]] = {
    "read_delimited": table_readers.delimited,
    "read_json_lines": table_readers.json_lines,
    "read_parquet": table_readers.parquet,
    "read_delta_lake": table_readers.delta_lake,
}
_PARTITION = "extract_columns_from_partition_format"
_COLUMNS = ("convert_column_types", "drop_columns", "keep_columns", "filter")
_EITHER = ("skip", "take", "take_random_sample")
KNOWN = (*READERS, *_COLUMNS, *_EITHER, _PARTITION)
_TIMES = {"yyyy": r"\d{4}", "MM": r"\d\d", "dd": r"\d\d", "HH": r"\d\d", "mm": r"\d\d", "ss": r"\d\d"}
_CODES = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}

Step = tuple[str, Any]


def steps(said: Any) -> list[Step]:
    """Each with its name and options. Raises Invalid `MltableInvalid`, `MltableTransformationUnknown`."""
    if not isinstance(said, list):
        raise _invalid("'transformations' is no list")
    found: list[Step] = []
    for one in said:
        if isinstance(one, str):
            one = {one: {}}
        if not isinstance(one, dict) or len(one) != 1:
            raise _invalid(f"{one!r} is no transformation; each is one name with its options")
        name, options = next(iter(one.items()))
        if name not in KNOWN:
            close = nearest(str(name), KNOWN)
            raise Invalid(
                "MltableTransformationUnknown",
                f"The MLTable has the transformation '{name}', which is not known.",
                remedy=f"Did you mean {close}?" if close else f"Known are {', '.join(KNOWN)}.",
            )
        if name in READERS and not isinstance(options, dict | None):
            raise _invalid(f"the options of {name} are no mapping")
        found.append((str(name), options))
    if sum(name in READERS for name, _ in found) > 1:
        raise _invalid("it reads its files twice; one read_… transformation is enough")
    return found


def evaluated(files: Sequence[TableFile], order: Sequence[Step]) -> Table | list[TableFile]:
    """The table; or, where nothing reads the files, those that are left. Raises Invalid."""
    extra: dict[str, dict[str, Any]] = {}
    for name, options in order:
        if name == _PARTITION:
            extra = {file.name: _partition(options, file.name) for file in files}
    table: Table | None = None
    left = list(files)
    for name, options in order:
        if name == _PARTITION:
            continue
        if name in READERS:
            table = READERS[name](Reading(left, options or {}, extra))
        elif table is None:
            if name in _COLUMNS:
                raise _invalid(f"{name} comes before the files are read; put a read_… transformation first")
            left = list(_some(name, options, left))
        elif name in _EITHER:
            table.rows = _some(name, options, table.rows)
        elif name == "filter":
            kept = compiled(str(options), table.names, table.kinds)
            table.rows = filter(kept, table.rows)
        elif name == "convert_column_types":
            _convert(table, options)
        else:
            _select(table, name, options)
    return left if table is None else table


def _some(name: str, options: Any, found: Iterable[Any]) -> Iterator[Any]:
    if name == "take_random_sample":
        given: Mapping[str, Any] = options if isinstance(options, dict) else {"probability": options}
        chance, seed = given.get("probability"), given.get("seed")
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise _invalid("take_random_sample needs a 'probability' from 0 to 1")
        dice = random.Random(seed if isinstance(seed, int) else None)
        return (one for one in found if dice.random() < chance)
    if isinstance(options, bool) or not isinstance(options, int) or options < 0:
        raise _invalid(f"{name} needs a whole number, not {options!r}")
    return islice(iter(found), options, None) if name == "skip" else islice(iter(found), options)


def _names(said: Any, where: str) -> list[str]:
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise _invalid(f"{where} names no columns: {said!r}")
    return names


def _select(table: Table, name: str, options: Any) -> None:
    given = _names(options, name)
    if name == "keep_columns":
        for one in given:
            _place(table, one, name)
    keeps = [place for place, one in enumerate(table.names) if (one in given) == (name == "keep_columns")]
    table.names = [table.names[place] for place in keeps]
    rows = table.rows
    table.rows = ([row[place] for place in keeps] for row in rows)


def _place(table: Table, column: str, where: str) -> int:
    if column in table.names:
        return table.names.index(column)
    close = nearest(column, table.names)
    raise Invalid(
        "MltableColumnUnknown",
        f"{where} of the MLTable names the column '{column}', which the table does not have.",
        remedy=f"Did you mean '{close}'?" if close else f"It has {', '.join(table.names[:20])}.",
    )


def _convert(table: Table, options: Any) -> None:
    changes: list[tuple[int, Callable[[Any], Any]]] = []
    for one in options if isinstance(options, list) else [options]:
        if not isinstance(one, dict) or "columns" not in one or "column_type" not in one:
            raise _invalid("convert_column_types needs 'columns' and 'column_type'")
        kind, how = one["column_type"], {}
        if isinstance(kind, dict) and len(kind) == 1:
            kind, how = next(iter(kind.items()))
        if kind not in _CONVERTERS:
            close = nearest(str(kind), list(_CONVERTERS))
            raise Invalid(
                "MltableInvalid",
                f"'{kind}' is no column_type of an MLTable.",
                remedy=f"Did you mean {close}?" if close else f"Write one of {', '.join(_CONVERTERS)}.",
            )
        for column in _names(one["columns"], "convert_column_types"):
            place = _place(table, column, "convert_column_types")
            changes.append((place, _CONVERTERS[kind](how if isinstance(how, dict) else {})))
            table.kinds[column] = "text" if kind in ("string", "stream_info") else str(kind)
    rows = table.rows

    def converted() -> Iterator[list[Any]]:
        for row in rows:
            for place, change in changes:
                if row[place] is not None:
                    try:
                        row[place] = change(row[place])
                    except (ValueError, TypeError, OverflowError):
                        row[place] = None
            yield row

    table.rows = converted()


def _datetime(how: Mapping[str, Any]) -> Callable[[Any], Any]:
    formats = how.get("formats") or []
    formats = [formats] if isinstance(formats, str) else formats

    def change(cell: Any) -> Any:
        if isinstance(cell, date):
            return cell
        for one in formats:
            try:
                return datetime.strptime(str(cell), one)
            except ValueError:
                continue
        if formats:
            return None
        return datetime.fromisoformat(str(cell).strip())

    return change


def _boolean(how: Mapping[str, Any]) -> Callable[[Any], Any]:
    mismatch = str(how.get("mismatch_as", "null")).lower()
    truths = [str(one).lower() for one in how.get("true_values") or ["true", "1"]]
    lies = [str(one).lower() for one in how.get("false_values") or ["false", "0"]]
    other = {"true": True, "false": False}.get(mismatch)
    return lambda cell: True if str(cell).lower() in truths else False if str(cell).lower() in lies else other


_CONVERTERS: dict[str, Callable[[Mapping[str, Any]], Callable[[Any], Any]]] = {
    "string": lambda _: str,
    "stream_info": lambda _: str,
    "int": lambda _: lambda cell: int(cell) if not isinstance(cell, str) or "." not in cell else int(float(cell)),
    "float": lambda _: float,
    "boolean": _boolean,
    "datetime": _datetime,
}


def _partition(options: Any, name: str) -> dict[str, Any]:
    """The columns that a file's own path holds, by a format such as '/{year}/{day:yyyy/MM/dd}/a.csv'."""
    said = options.get("partition_format") if isinstance(options, dict) else options
    if not isinstance(said, str) or "{" not in said:
        raise _invalid(f"{_PARTITION} needs a 'partition_format' with a {{name}} in it")
    pattern, formats = "", []
    for literal, key, moment in re.findall(r"([^{}]+)|\{([^{}:]+)(?::([^{}]*))?\}", said):
        if literal:
            pattern += ".*".join(re.escape(piece) for piece in literal.split("*"))
            continue
        inner = re.sub("|".join(_TIMES), lambda found: _TIMES[found[0]], re.escape(moment)) if moment else "[^/]+"
        pattern += f"({inner})"
        formats.append((key, re.sub("|".join(_CODES), lambda found: _CODES[found[0]], moment)))
    found = re.search(pattern + "$", f"/{name}")
    if found is None:
        raise Invalid(
            "MltablePartitionMismatch",
            f"The path '{name}' does not fit the partition_format '{said}' of the MLTable.",
            remedy="Begin it at the first part that changes, and end it as the file names end.",
        )
    values: dict[str, Any] = {}
    for (key, form), text in zip(formats, found.groups(), strict=True):
        try:
            values[key] = datetime.strptime(text, form) if form else text
        except ValueError:
            values[key] = None
    return values


def _invalid(why: str) -> Invalid:
    return Invalid("MltableInvalid", f"The MLTable cannot be evaluated: {why}.", remedy="Correct the MLTable file.")
