"""How a command begins, where that can be known before it runs: which interpreter it starts on what, and what is imported before
anything else of the job's own happens. Pure, but for the one file that is read.

Whatever is not plainly so has no opening: a command that a shell would expand, flags that change the interpreter, a script
that does something between two imports.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = """
accelerate catboost datasets jax keras lightgbm lightning matplotlib mlflow numpy pandas peft polars pyarrow pytorch_lightning
scipy seaborn sklearn statsmodels tensorflow tokenizers torch torchaudio torchvision transformers xgboost
"""
PACKAGES = frozenset(_PACKAGES.split())
"""What takes long to import, and whose import does nothing but that."""
_MOST = 1 << 18
"""Bytes of a script that are looked at."""
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_WORD = re.compile(r"""(?:[\w@%+=:,./-]+|'[^']*'|"[^"$`\\]*")+""", re.ASCII)
_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?\Z", re.ASCII)
_NAME = r"[^\W\d]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_IMPORT = re.compile(rf"import\s+({_DOTTED}(?:\s+as\s+{_NAME})?(?:\s*,\s*{_DOTTED}(?:\s+as\s+{_NAME})?)*)\Z")
_FROM = re.compile(
    rf"from\s+({_DOTTED})\s+import\s+(\*|{_NAME}(?:\s+as\s+{_NAME})?(?:\s*,\s*{_NAME}(?:\s+as\s+{_NAME})?)*),?\Z"
)
_TEXT = re.compile(
    r"""[rRuU]?("{3}(?:[^\\]|\\.)*?"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""", re.DOTALL
)
_SHELL_READS = re.compile(r"(BASH_\w+|ENV|SHELLOPTS|POSIXLY_CORRECT)(%%)?\Z")
"""Variables that change what a shell makes of a command."""


@dataclass(frozen=True, slots=True)
class Opening:
    program: str
    """'python', as the command says it."""
    own: tuple[str, ...]
    """What is the interpreter's: its flags, and the script, `-m` and the module or `-c` and the text."""
    rest: tuple[str, ...]
    """What the script is told."""
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    """(module, names to have from it), in the order of the script."""
    names: frozenset[str]
    """What else it imports before or between these, of the standard library."""
    folder: Path
    """Searched first."""

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(module.partition(".")[0] for module, _ in self.imports))


def opening(command: str, code: Path, variables: Mapping[str, str]) -> Opening | None:
    """`code`: the folder in which the command starts."""
    if any(_SHELL_READS.match(name) for name in variables):
        return None
    words = split(command)
    if not words or not _PYTHON.match(words[0]):
        return None
    at = 1
    while at < len(words) and words[at] == "-u":
        at += 1
    if at >= len(words):
        return None
    folder, count = code, 2
    if words[at] == "-c" and len(words) > at + 1:
        text = words[at + 1]
    elif words[at] == "-m" and len(words) > at + 1 and words[at + 1].isidentifier():
        text = _read(code / f"{words[at + 1]}.py", code)
    elif not words[at].startswith("-") and words[at].endswith(".py"):
        place, count = code / words[at], 1
        folder, text = place.parent, _read(place, code)
    else:
        return None
    found, others = imports(text)
    own, rest = tuple(words[1 : at + count]), tuple(words[at + count :])
    return Opening(words[0], own, rest, found, others, folder) if found else None


def split(command: str) -> list[str]:
    """The words of a command that a shell takes as they stand; [] for any other."""
    text, words, at = command.replace("\\\n", " ").strip(), [], 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None or (found.end() < len(text) and text[found.end()] not in " \t"):
            return []
        words.append(
            "".join(
                part if _PLAIN.fullmatch(part) else part[1:-1]
                for part in re.findall(r"'[^']*'|\"[^\"]*\"|[^'\"]+", found[0])
            )
        )
        at = found.end()
        while at < len(text) and text[at] in " \t":
            at += 1
    return words if not words or "=" not in text.split(None, 1)[0] else []


def imports(text: str) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], frozenset[str]]:
    """Of the packages that take long, what a script imports before it does anything else; and of the standard library, what it
    imports with them."""
    found: list[tuple[str, tuple[str, ...]]] = []
    others: set[str] = set()
    for statement in _statements(text):
        told = _modules(statement)
        if told is None:
            break
        known = [module.partition(".")[0] for module, _ in told]
        if not all(name in PACKAGES or name in sys.stdlib_module_names for name in known):
            break
        for name, one in zip(known, told, strict=True):
            if name in PACKAGES:
                found.append(one)
            else:
                others.add(name)
    return tuple(dict.fromkeys(found)), frozenset(others)


def _modules(statement: str) -> list[tuple[str, tuple[str, ...]]] | None:
    """None: it is no import, or one of what lies beside the script."""
    if plain := _IMPORT.match(statement):
        return [(one.split()[0], ()) for one in plain[1].split(",")]
    if some := _FROM.match(statement):
        names = () if some[2] == "*" else tuple(one.split()[0] for one in some[2].split(","))
        return [(some[1], names)]
    return None


def _statements(text: str) -> list[str]:
    """Lines that may be imports, up to the first that is not; what is written over several is one."""
    text = text.replace("\r\n", "\n")
    begun = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)*", text)
    at = begun.end() if begun else 0
    if told := _TEXT.match(text, at):
        at = told.end()
    found: list[str] = []
    lines = iter(text[at:].split("\n"))
    for line in lines:
        statement = line.partition("#")[0].rstrip()
        if not statement:
            continue
        if not statement.startswith(("import ", "from ")):
            break
        while statement.endswith("\\") or ("(" in statement and ")" not in statement):
            more = next(lines, None)
            if more is None:
                return found
            statement = f"{statement.removesuffix(chr(92))} {more.partition('#')[0].strip()}".rstrip()
        if "(" in statement:
            head, _, names = statement.partition("(")
            if not names.endswith(")"):
                break
            statement = head + names[:-1]
        found.append(re.sub(r"\s+", " ", statement).strip())
    return found


def _read(place: Path, code: Path) -> str:
    """'' when it is no text, too long, or not there in the job's own code."""
    try:
        place = place.resolve()
        if not place.is_relative_to(code.resolve()) or not place.is_file():
            return ""
        with place.open("rb") as file:
            data = file.read(_MOST + 1)
        return data.decode("utf-8") if len(data) <= _MOST else ""
    except (OSError, ValueError):
        return ""
