"""Tables read from files, row by row: delimited text, JSON lines, parquet and Delta Lake."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain, islice
from typing import Any

from mayfly.kit.errors import Invalid, nearest
from mayfly.node.table_files import TableFile
from mayfly.node.table_filter import parse_cell

INFERRED_ROWS = 200
ENCODINGS = {
    "utf8": "utf-8",
    "utf8bom": "utf-8-sig",
    "iso88591": "iso-8859-1",
    "latin1": "latin-1",
    "ascii": "ascii",
    "utf16": "utf-16",
    "utf32": "utf-32",
    "windows1252": "cp1252",
}
HEADERS = ("no_header", "from_first_file", "all_files_different_headers", "all_files_same_headers")
_LONGEST_CELL = 1 << 30


@dataclass(slots=True)
class Table:
    """Cells are text as it was written, None where empty, or values where the format has them."""

    names: list[str]
    kinds: dict[str, str]
    """int, float, boolean, datetime or text."""
    rows: Iterator[list[Any]]


@dataclass(slots=True)
class Part:
    """One file's rows, below its own column names."""

    names: list[str]
    rows: Callable[[], Iterator[list[Any]]]


@dataclass(frozen=True, slots=True)
class Reading:
    """Files to read. `extra`: what is known of each file from its name, as columns that come first."""

    files: Sequence[TableFile]
    options: Mapping[str, Any]
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def delimited(reading: Reading) -> Table:
    encoding, header = _encoding(reading), _choice(reading, "header", HEADERS, "all_files_same_headers")
    delimiter = str(reading.options.get("delimiter", ",")).replace("\\t", "\t")
    keep_empty = reading.options.get("empty_as_string") is True
    multi = reading.options.get("support_multi_line") is True
    csv.field_size_limit(_LONGEST_CELL)

    def lines(file: TableFile) -> Iterator[list[str]]:
        try:
            with file.path.open(encoding=encoding, newline="" if multi else None) as opened:
                if encoding == "utf-8" and opened.read(1) != "\ufeff":
                    opened.seek(0)
                if len(delimiter) != 1:
                    yield from (line.rstrip("\r\n").split(delimiter) for line in opened if line.strip())
                elif multi:
                    yield from (row for row in csv.reader(opened, delimiter=delimiter) if row)
                else:
                    for line in opened:
                        yield from (row for row in csv.reader([line.rstrip("\r\n")], delimiter=delimiter) if row)
        except UnicodeError as error:
            known = reading.options.get("encoding", "utf8")
            raise Invalid(
                "MltableReadFailed",
                f"'{file.name}' is not written in {known}, as its MLTable says: {error}.",
                remedy=f"Set 'encoding' of read_delimited to one of {', '.join(ENCODINGS)}.",
            ) from error
        except csv.Error as error:
            raise Invalid("MltableReadFailed", f"'{file.name}' cannot be read as delimited text: {error}.") from error

    def cells(file: TableFile, skipped: int) -> Iterator[list[Any]]:
        for row in islice(lines(file), skipped, None):
            yield row if keep_empty else [cell or None for cell in row]

    parts: list[Part] = []
    first: list[str] | None = None
    for number, file in enumerate(reading.files):
        skipped = int(header in HEADERS[2:] or (header == HEADERS[1] and number == 0))
        own = next(lines(file), []) if skipped else []
        if header == "all_files_different_headers":
            names = own
        else:
            first = names = first if first else own
        widest = max((len(row) for row in lines(file)), default=0)
        names = _distinct([*names, *(f"Column{n}" for n in range(len(names) + 1, widest + 1))])
        parts.append(Part(names, lambda file=file, skipped=skipped: cells(file, skipped)))
    table = _together(reading, parts)
    if reading.options.get("infer_column_types") is False:
        table.kinds = {**dict.fromkeys(table.names, "text")}
    return table


def json_lines(reading: Reading) -> Table:
    encoding, drops = _encoding(reading), _choice(reading, "invalid_lines", ("error", "drop"), "error") == "drop"

    def objects(file: TableFile) -> Iterator[dict[str, Any]]:
        with file.path.open(encoding=encoding, errors="replace" if drops else "strict") as opened:
            for number, line in enumerate(opened, 1):
                if not line.strip():
                    continue
                try:
                    found = json.loads(line)
                    if not isinstance(found, dict):
                        raise ValueError("it is no object")  # noqa: TRY004
                except (ValueError, RecursionError) as error:
                    if drops:
                        continue
                    raise Invalid(
                        "MltableReadFailed",
                        f"Line {number} of '{file.name}' is not JSON: {error}.",
                        remedy="Correct it, or set 'invalid_lines: drop' of read_json_lines.",
                    ) from error
                yield found

    parts: list[Part] = []
    for file in reading.files:
        names = list(dict.fromkeys(chain.from_iterable(objects(file))))

        def rows(file: TableFile = file, names: list[str] = names) -> Iterator[list[Any]]:
            return ([one.get(name) for name in names] for one in objects(file))

        parts.append(Part(names, rows))
    return _together(reading, parts)


def parquet(reading: Reading) -> Table:
    reader = _reader("pyarrow.parquet", "read_parquet", "pyarrow")
    parts: list[Part] = []
    for file in reading.files:
        try:
            names = list(reader.ParquetFile(file.path).schema_arrow.names)
        except Exception as error:
            raise Invalid("MltableReadFailed", f"'{file.name}' is no parquet file: {error}.") from error

        def rows(file: TableFile = file) -> Iterator[list[Any]]:
            for batch in reader.ParquetFile(file.path).iter_batches(4096):
                yield from map(list, zip(*(column.to_pylist() for column in batch.columns), strict=True))

        parts.append(Part(names, rows))
    return _together(reading, parts)


def delta_lake(reading: Reading) -> Table:
    reader = _reader("deltalake", "read_delta_lake", "deltalake")
    logs = [one for one in reading.files if "/_delta_log/" in f"/{one.name}"]
    if not logs:
        raise Invalid("MltableReadFailed", "The MLTable reads a Delta Lake, and no '_delta_log' is in what it names.")
    root = next(parent for parent in logs[0].path.parents if parent.name == "_delta_log").parent
    version, moment = reading.options.get("version_as_of"), reading.options.get("timestamp_as_of")
    table = reader.DeltaTable(str(root), version=version)
    if moment is not None:
        table.load_as_version(str(moment))
    inside = [TableFile(root / name, name) for name in sorted(table.files())]
    return parquet(Reading(inside, reading.options))


def _reader(module: str, transformation: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Invalid(
            "MltableReaderMissing",
            f"The MLTable's {transformation} needs the package {package}, which this node does not have.",
            remedy="Use mode ro_mount or download, and read the folder with the mltable package in the job.",
        ) from None


def _together(reading: Reading, parts: Sequence[Part]) -> Table:
    """All files below the union of their columns; what is known of the file itself comes first."""
    with_path = reading.options.get("include_path_column") is True
    extra = list(dict.fromkeys(chain.from_iterable(reading.extra.values())))
    before = [*(["Path"] if with_path else []), *extra]
    own = list(dict.fromkeys(chain.from_iterable(part.names for part in parts)))
    names = [*before, *(name for name in own if name not in before)]

    def rows() -> Iterator[list[Any]]:
        for file, part in zip(reading.files, parts, strict=True):
            known = {"Path": file.name} if with_path else {}
            known |= reading.extra.get(file.name, {})
            places = [names.index(name) for name in part.names]
            blank: list[Any] = [known.get(name) for name in names]
            for cells in part.rows():
                row = blank.copy()
                for place, cell in zip(places, cells, strict=False):
                    if place >= len(before):
                        row[place] = cell
                yield row

    flow = rows()
    seen = list(islice(flow, INFERRED_ROWS))
    return Table(names, inferred(names, seen), chain(seen, flow))


def inferred(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """What kind each column is, by these rows."""
    return {name: _kind([row[place] for row in rows if row[place] is not None]) for place, name in enumerate(names)}


def _kind(cells: Sequence[Any]) -> str:
    if not cells:
        return "text"
    if not all(isinstance(cell, str) for cell in cells):
        types: dict[type, str] = {bool: "boolean", int: "int", float: "float", datetime: "datetime", date: "datetime"}
        found = {types.get(type(cell), "text") for cell in cells}
        return found.pop() if len(found) == 1 else ("float" if found == {"int", "float"} else "text")
    for kind in ("int", "float", "boolean", "datetime"):
        understood = parse_cell(kind)
        if all(understood(cell) is not None for cell in cells):
            return kind
    return "text"


def _distinct(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        free, number = name, 0
        while free in made:
            number += 1
            free = f"{name}_{number}"
        made.append(free)
    return made


def _encoding(reading: Reading) -> str:
    return ENCODINGS[_choice(reading, "encoding", tuple(ENCODINGS), "utf8")]


def _choice(reading: Reading, key: str, allowed: Sequence[str], default: str) -> str:
    said = reading.options.get(key, default)
    if said in allowed:
        return str(said)
    close = nearest(str(said), allowed)
    raise Invalid(
        "MltableInvalid",
        f"'{said}' is no {key} of an MLTable.",
        remedy=f"Did you mean {close}?" if close else f"Write one of {', '.join(allowed)}.",
    )
