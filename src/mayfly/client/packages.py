"""What a script needs, as its author wrote it down for other tools: inline metadata (PEP 723), a requirements file, a
conda file, or pyproject.toml."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mayfly.kit.errors import Invalid
from mayfly.spec import document
from mayfly.spec.document import Document

REQUIREMENTS = ("requirements.txt",)
CONDA = ("conda.yml", "conda.yaml", "environment.yml", "environment.yaml")
PROJECT = ("pyproject.toml",)
PLAIN_IMAGE = "library/python:latest"
CONDA_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
"""What Azure builds conda environments on."""
_LARGEST = 1 << 20
_DEEPEST = 10
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)[ \t]*$\s(?P<content>(^#(| .*)$\s)+)^# ///[ \t]*$")
_COMMENT = re.compile(r"(?:\A|\s)#.*")
_HASH = re.compile(r"\s--hash[=\s]\S+")
_INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]*(?P<file>\S.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement and the line of the file that it stands on."""

    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Packages:
    """`whole`: the file itself is what a job names (a conda file, or an environment of Azure's)."""

    source: Path
    kind: Literal["inline", "requirements", "project", "conda", "environment"]
    python: str | None = None
    lines: tuple[Line, ...] = ()

    @property
    def whole(self) -> bool:
        return self.kind in ("conda", "environment")

    def conda_file(self) -> dict[str, Any]:
        """As conda has it, with everything from Python's own index."""
        listed: list[Any] = [f"python{_conda_version(self.python)}" if self.python else "python", "pip"]
        if self.lines:
            listed.append({"pip": [line.text for line in self.lines]})
        return {"channels": ["conda-forge"], "dependencies": listed}

    def placed(self) -> Document:
        """`conda_file()` with the places of its lines in `source`."""
        places = {f"/dependencies/2/pip/{index}": (line.number, 1) for index, line in enumerate(self.lines)}
        return Document(str(self.source), self.conda_file(), {"": (1, 1), **places})


def find(script: Path, folders: Sequence[Path]) -> tuple[Packages | None, list[Path]]:
    """What is nearest: the script's own metadata, then the first of these files in each folder in turn. The second
    value: files of the same folder that would have said something too. Raises as `read` does."""
    if script.suffix == ".py" and (own := inline(script)) is not None:
        return own, []
    for folder in folders:
        there = [folder / name for name in (*REQUIREMENTS, *CONDA, *PROJECT) if (folder / name).is_file()]
        told = [(path, found) for path in there if (found := read(path, asked=False)) is not None]
        if told:
            return told[0][1], [path for path, _ in told[1:]]
    return None, []


def read(path: Path, *, asked: bool = True) -> Packages | None:
    """By the file's name. `asked`: a person named it, so a file that says nothing of packages is a fault; else None.

    Raises Invalid `RequirementsUnreadable`, `RequirementsInvalid`, `RequirementsUnknown`, and those of
    `spec.document.load`.
    """
    if path.suffix in (".yml", ".yaml"):
        return _conda(path, asked)
    if path.suffix == ".toml":
        return _project(path, asked)
    if path.suffix == ".py":
        found = inline(path)
        if found is None and asked:
            raise Invalid("RequirementsUnknown", f"'{path}' has no inline metadata ('# /// script').")
        return found
    return Packages(path, "requirements", None, tuple(_requirements(path, ())))


def inline(script: Path) -> Packages | None:
    """PEP 723. Raises Invalid `RequirementsInvalid` for metadata that is no TOML, has other types than it should, or is
    there twice."""
    text = _text(script)
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        return None
    first = text.count("\n", 0, blocks[0].start()) + 1
    if len(blocks) > 1:
        again = text.count("\n", 0, blocks[1].start()) + 1
        raise Invalid(
            "RequirementsInvalid", f"{script}:{again}: a second '# /// script' block; the first is on line {first}."
        )
    content = "".join(
        line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].splitlines(keepends=True)
    )
    data = _toml(content, script, first)
    python, lines = _declared(data, "requires-python", script, content, first)
    return Packages(script, "inline", python, lines)


def imports(script: Path) -> list[str]:
    """Modules that the script imports and that are neither Python's own nor beside it; empty for what is no Python."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0]: None for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = None
    beside = script.parent
    return [
        name
        for name in found
        if name not in sys.stdlib_module_names and not (beside / f"{name}.py").exists() and not (beside / name).is_dir()
    ]


def _requirements(path: Path, above: tuple[Path, ...]) -> Iterator[Line]:
    """Lines as pip reads them: comments off, continued lines joined, `-r` written out, hashes dropped (the environment is
    locked with hashes of its own)."""
    if path.resolve() in above or len(above) > _DEEPEST:
        raise Invalid("RequirementsInvalid", f"'{path}' includes itself.")
    above = (*above, path.resolve())
    begun, number = "", 0
    for at, raw in enumerate(_text(path).splitlines(), 1):
        number = number if begun else at
        begun += raw.strip()
        if begun.endswith("\\") and not raw.lstrip().startswith("#"):
            begun = begun[:-1].rstrip() + " "
            continue
        line, begun = _HASH.sub("", _COMMENT.sub("", begun)).strip(), ""
        include = _INCLUDE.match(line)
        if include is not None:
            try:
                yield from (Line(one.text, number) for one in _requirements(path.parent / include["file"], above))
            except Invalid as error:
                raise Invalid(error.code, f"{path}:{number}: {error.message}", remedy=error.remedy) from error
        elif line:
            yield Line(line, number)
    if begun.strip():
        yield Line(begun.strip(), number)


def _conda(path: Path, asked: bool) -> Packages | None:
    data = document.load(_bytes(path), str(path)).data
    if isinstance(data.get("dependencies"), list):
        return Packages(path, "conda")
    if data.get("image") or data.get("build"):
        return Packages(path, "environment")
    if not asked:
        return None
    raise Invalid(
        "RequirementsUnknown",
        f"'{path}' is neither a conda file (with 'dependencies') nor an environment (with 'image').",
    )


def _project(path: Path, asked: bool) -> Packages | None:
    text = _text(path)
    data = _toml(text, path, 0)
    project = data.get("project")
    if not isinstance(project, dict):
        if asked:
            raise Invalid("RequirementsUnknown", f"'{path}' has no table [project], so it names no packages.")
        return None
    if "dependencies" in (project.get("dynamic") or ()):
        raise Invalid(
            "RequirementsUnknown",
            f"The dependencies in '{path}' are dynamic: only a build would tell them.",
            remedy="Write them into a requirements.txt beside the script, or name an environment with --env.",
        )
    python, lines = _declared(project, "requires-python", path, text, 0)
    return Packages(path, "project", python, lines)


def _declared(data: dict[str, Any], key: str, path: Path, text: str, above: int) -> tuple[str | None, tuple[Line, ...]]:
    """`requires-python` and `dependencies` of a table, each dependency with its line."""
    python, listed = data.get(key), data.get("dependencies", [])
    if python is not None and not isinstance(python, str):
        raise Invalid("RequirementsInvalid", f"{path}: '{key}' must be a text such as '>=3.11'.")
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise Invalid("RequirementsInvalid", f"{path}: 'dependencies' must be a list of texts such as 'numpy>=2'.")
    rows = text.splitlines()
    lines = []
    for one in listed:
        at = next((number for number, row in enumerate(rows, 1) if one in row), 1)
        lines.append(Line(one.strip(), above + at))
    return (python or None), tuple(lines)


def _conda_version(python: str) -> str:
    """'>=3.11, <3.13' → '>=3.11,<3.13'; a bare '3.11' gets its '='."""
    text = re.sub(r"\s+", "", python)
    return f"={text}" if text[:1].isdigit() else text


def _toml(text: str, path: Path, above: int) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = above + int(match[1]) if match else above + 1
        words = str(error).partition(" (at ")[0]
        raise Invalid("RequirementsInvalid", f"{path}:{line}: this is not TOML: {words}.") from error


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Invalid("RequirementsUnreadable", f"{path}:{line}: this is no text in UTF-8.") from error


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise Invalid("RequirementsUnreadable", f"'{path}' cannot be read: {error.strerror or error}.") from error
    if len(data) > _LARGEST:
        raise Invalid("RequirementsUnreadable", f"'{path}' has more than {_LARGEST >> 20} MiB.")
    return data
