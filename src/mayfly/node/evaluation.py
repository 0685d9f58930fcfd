"""An MLTable made into files for the job."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mayfly.kit.errors import Invalid, MayflyError
from mayfly.node.table_files import TABLE, TableFile, files
from mayfly.node.table_readers import Table
from mayfly.node.table_steps import evaluated, steps
from mayfly.transfer.removal import remove_tree

ROWS = "part-00000.csv"
"""The one file of a table that is read: UTF-8, the column names first."""
_LARGEST = 1 << 20


def evaluate(
    name: str,
    table: Path,
    target: Path,
    remote: Callable[[str, int], Path],
    *,
    address: str = "",
    check: Callable[[], None] = lambda: None,
) -> None:
    """Fill `target` with what the table in the folder `table` stands for: its rows as one CSV file, or, where nothing
    reads them, the files it names, each where it lies below the table. `remote` brings what lies at an address.
    `check` is called often and may raise. Repeatable: `target` is whole or not there. Raises Invalid `Mltable…`."""
    part = target.with_name(f"{target.name}.part")
    remove_tree(part)
    remove_tree(target)
    try:
        document = _document(table)
        found = evaluated(
            list(files(table, document["paths"], remote, address)), steps(document.get("transformations") or [])
        )
        part.mkdir(parents=True)
        if isinstance(found, Table):
            _write(found, part / ROWS, check)
        else:
            _copy(found, part, check)
    except MayflyError as error:
        remove_tree(part)
        raise type(error)(error.code, f"Input '{name}': {error.message}", remedy=error.remedy) from error
    part.rename(target)


def _document(table: Path) -> dict[str, Any]:
    import yaml  # here alone: an agent without tables starts without it

    path = table / TABLE
    if not path.is_file():
        raise Invalid(
            "MltableMissing",
            f"There is no file '{TABLE}' in the folder of the table.",
            remedy="Give the folder that holds the MLTable file, or use mode ro_mount with type uri_folder.",
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large for one")
        document = yaml.safe_load(path.read_text("utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise Invalid("MltableInvalid", f"The file '{TABLE}' is not readable as YAML: {said}.") from error
    if not isinstance(document, dict) or not isinstance(document.get("paths"), list) or not document["paths"]:
        raise Invalid(
            "MltableInvalid",
            f"The file '{TABLE}' names no data: 'paths' is missing.",
            remedy="Write 'paths: [{file: ./data.csv}]'.",
        )
    return document


def _write(table: Table, path: Path, check: Callable[[], None]) -> None:
    with path.open("w", encoding="utf-8", newline="", errors="surrogatepass") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.names)
        writer.writerows(_checked(([_text(cell) for cell in row] for row in table.rows), check))


def _checked(rows: Iterable[list[Any]], check: Callable[[], None]) -> Iterator[list[Any]]:
    for number, row in enumerate(rows):
        if number % 4096 == 0:
            check()
        yield row


def _text(cell: Any) -> Any:
    return json.dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, dict | list) else cell


def _copy(found: Iterable[TableFile], target: Path, check: Callable[[], None]) -> None:
    for one in found:
        check()
        place = target / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.path, place)
