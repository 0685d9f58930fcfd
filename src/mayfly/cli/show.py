"""The one place that prints, and that chooses exit statuses: data on standard output, everything said beside it on
standard error. Colour only decorates; nothing is said by colour alone."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from mayfly.cli import text
from mayfly.cli.text import Column
from mayfly.kit.errors import (
    Conflict,
    Denied,
    Fault,
    Forbidden,
    Invalid,
    MayflyError,
    NotFound,
    Refused,
    Unavailable,
)

FORMATS = ("table", "json", "yaml", "tsv")
ENDED_BADLY, BAD_INPUT, REFUSED, NOT_FOUND, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 5, 130
_COLOURS = {
    "Completed": "32",
    "Running": "36",
    "Failed": "31",
    "Canceled": "33",
    "NotResponding": "33",
    "error": "31;1",
    "hint": "36",
    "dim": "2",
    "bold": "1",
}
_LOCATED = re.compile(r"(?P<file>(?:(?!://).)+?):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<message>.*)\Z", re.DOTALL)
_UNSAFE_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

Locate = Callable[[Fault], str]
"""A fault → 'file:line: message' where the job file has its place, else its message."""


def exit_status(error: MayflyError) -> int:
    """The one place where a kind of failure becomes an exit status (they are listed in `mayfly --help`)."""
    if isinstance(error, (Refused, Forbidden, Denied)):
        return REFUSED
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, Unavailable):
        return UNREACHABLE
    return BAD_INPUT if isinstance(error, (Invalid, Conflict)) else ENDED_BADLY


@dataclass(slots=True)
class Screen:
    """Where a command prints. `width` is None where nothing needs to fit: a pipe or a file."""

    out: TextIO
    err: TextIO
    output: str = "table"
    query: str | None = None
    width: int | None = None
    colour: bool = False
    colour_err: bool = False
    locate: Locate | None = None
    _logs: dict[str, text.LogText] = field(default_factory=dict)
    _lines: dict[str, str] = field(default_factory=dict)

    # --- data

    def data(self, value: Any, human: Callable[[], Sequence[str]]) -> None:
        """The command's answer: `human()` as lines, unless another format or a query was asked for."""
        if self.query is not None:
            value = self.ask(self.query, value)
        if self.output == "json":
            self.out.write(_json(value) + "\n")
        elif self.output == "yaml":
            self.out.write(_yaml(value))
        elif self.output == "tsv":
            self._write(text.tab_separated(value))
        else:
            self._write(human() if self.query is None else text.generic(value, self.width))
        self.out.flush()

    def ask(self, query: str, value: Any) -> Any:
        """Raises Invalid `QueryInvalid`."""
        jmespath = importlib.import_module("jmespath")
        try:
            return jmespath.search(query, value)
        except jmespath.exceptions.JMESPathError as error:
            raise Invalid(
                "QueryInvalid",
                f"--query is not a JMESPath expression: {str(error).splitlines()[0]}",
                remedy="As in --query name, or --query '[].{name: name, status: status}'.",
            ) from error

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> list[str]:
        lines = text.table(columns, rows, self.width)
        return [self.paint("bold", lines[0]), *lines[1:]]

    def _write(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.out.write(line + "\n")

    # --- beside the data

    def note(self, message: str) -> None:
        """Something worth knowing that is not the answer."""
        self._say(text.clean(message))

    def notes(self, messages: Sequence[str]) -> None:
        for message in messages:
            self._say(f"{self.paint_err('hint', 'note:')} {text.clean(message)}")

    def dim(self, message: str) -> None:
        self._say(self.paint_err("dim", text.clean(message)))

    def up(self, lines: int) -> None:
        """Take back the last lines that were said; only for a terminal."""
        self.err.write(f"\x1b[{lines}F\x1b[0J")
        self.err.flush()

    def _say(self, line: str) -> None:
        self.err.write(line + "\n")
        self.err.flush()

    def paint(self, colour: str, words: str) -> str:
        return _paint(colour, words) if self.colour else words

    def paint_err(self, colour: str, words: str) -> str:
        return _paint(colour, words) if self.colour_err else words

    # --- logs

    def log(self, file: str, piece: str, prefix: str) -> None:
        """A piece of a log file. With a prefix only whole lines are written, so that ranks do not mix."""
        stream = self.err if self.output != "table" else self.out
        safe = self._logs.setdefault(file, text.LogText(self.colour)).feed(piece)
        if prefix:
            *whole, rest = (self._lines.get(file, "") + safe).split("\n")
            self._lines[file] = rest
            safe = "".join(f"{prefix}{line}\n" for line in whole)
        stream.write(safe)
        stream.flush()
        if not prefix and safe:
            self._lines[""] = "" if safe.endswith("\n") else "open"

    def end_logs(self, prefixes: Mapping[str, str]) -> None:
        """What is left of each log: a last line without its end."""
        stream = self.err if self.output != "table" else self.out
        for file, log in self._logs.items():
            rest = self._lines.pop(file, "") + log.end()
            if rest:
                stream.write(f"{prefixes.get(file, '')}{rest}\n")
        self.break_line()
        self._logs.clear()

    def break_line(self) -> None:
        """End a log line that is still open, before something else is said."""
        if self._lines.pop("", ""):
            stream = self.err if self.output != "table" else self.out
            stream.write("\n")
            stream.flush()

    # --- failures

    def problem(self, error: MayflyError) -> int:
        """Say what went wrong; the exit status."""
        self.out.flush()
        faults = error.all_faults()
        if self.output == "json":
            details = [self._fault_json(fault) for fault in faults]
            own = self._fault_json(Fault(error.code, error.message, error.pointer, error.remedy))
            self.err.write(_json({"error": {**own, "details": details if error.faults else []}}) + "\n")
        else:
            for fault in sorted(faults, key=self._line):
                self._fault(fault)
            if error.faults and error.remedy and error.remedy not in {fault.remedy for fault in faults}:
                self._say(f"{self.paint_err('hint', 'hint:')} {text.clean(error.remedy)}")
        self.err.flush()
        return exit_status(error)

    def _fault(self, fault: Fault) -> None:
        located, message = self._located(fault)
        head = "" if located else f"{self.paint_err('error', 'error:')} "
        self._say(f"{head}{text.clean(message)} [{text.clean(fault.code)}]")
        if fault.remedy:
            self._say(f"{self.paint_err('hint', 'hint:')} {text.clean(fault.remedy)}")

    def _located(self, fault: Fault) -> tuple[re.Match[str] | None, str]:
        """Where it is in the job file, if anywhere, and what to print."""
        message = self.locate(fault) if self.locate is not None else fault.message
        return (_LOCATED.match(message) if self.locate is not None else None), message

    def _line(self, fault: Fault) -> tuple[bool, int]:
        """An order: as the file has them, those without a place last."""
        located, _ = self._located(fault)
        return located is None, int(located["line"]) if located else 0

    def _fault_json(self, fault: Fault) -> dict[str, Any]:
        located, _ = self._located(fault)
        shown: dict[str, Any] = {"code": fault.code, "message": located["message"] if located else fault.message}
        if fault.pointer is not None:
            shown["target"] = fault.pointer
        if fault.remedy:
            shown["remedy"] = fault.remedy
        if located:
            shown |= {"file": located["file"], "line": int(located["line"])}
        return shown


def open_screen(environ: Mapping[str, str], output: str = "table", query: str | None = None) -> Screen:
    """The real one, of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return Screen(
        out=sys.stdout,
        err=sys.stderr,
        output=output,
        query=query,
        width=_width(environ),
        colour=not plain and sys.stdout.isatty(),
        colour_err=not plain and sys.stderr.isatty(),
    )


def _width(environ: Mapping[str, str]) -> int | None:
    """`COLUMNS` where it is set, else the terminal's width, else None."""
    columns = environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None
    except (OSError, ValueError):
        return None


def write_yaml(file: Path, value: Any) -> None:
    file.write_text(_yaml(value), encoding="utf-8")


def _yaml(value: Any) -> str:
    # By name, as `--query`'s language above: what few commands use is not loaded by all.
    return importlib.import_module("yaml").safe_dump(
        value, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def _json(value: Any) -> str:
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return _UNSAFE_JSON.sub(lambda match: f"\\u{ord(match.group(0)):04x}", shown)


def _paint(colour: str, words: str) -> str:
    return f"\x1b[{_COLOURS[colour]}m{words}\x1b[0m" if colour in _COLOURS else words


def silence() -> None:
    """Nobody reads standard output any more: let the interpreter end without another complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
