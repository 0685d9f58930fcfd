"""A job made for a script: the definition that a person would have written, with nothing of ours in it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mayfly.client import jobfile, packages
from mayfly.client.jobfile import JobFile
from mayfly.client.packages import Packages
from mayfly.client.parts import Part
from mayfly.domain import curated
from mayfly.kit.errors import Invalid, nearest
from mayfly.spec import document
from mayfly.spec.paths import Refers, local, refers
from mayfly.transfer import ignore

SCHEMA = "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json"
HEADER = "# Made by mayfly run; yours to change."
MOST_FILES = 10_000
MOST_BYTES = 1 << 30
"""A code folder with more is sent only when it was named (`Ask.code`)."""
_LABELS = ("name", "display_name", "experiment_name", "tags")
_SHELLS = {".sh": "bash", ".bash": "bash"}
_REFERENCE = re.compile(r"\$\{\{\s*(inputs|outputs)\.([A-Za-z_][\w-]*)\s*\}\}")
_OPTION = {"inputs": "input", "outputs": "output-name"}
_OPENING = re.compile(r"\$(?=\{\{|\[\[)")
_PLACES = ("/", "/home", "/root", "/tmp", "/var", "/var/tmp", "/usr", "/etc", "/opt", "/mnt", "/srv", "/Users")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person asked to be run. Exactly one of `script` and `module` is given."""

    script: Path | None = None
    module: str | None = None
    args: Sequence[str] = ()
    code: Path | None = None
    env: str | None = None
    requirements: Path | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Other keys of the job, as they are: name, resources, …"""


@dataclass(frozen=True, slots=True)
class Made:
    text: str
    """The job file."""
    job: JobFile
    notes: tuple[str, ...]


def make(ask: Ask, at: Path, home: Path, *, kept: bool) -> Made:
    """The job. `at`: the file that it is, or would be; its paths are relative to that file's folder. `kept`: whether the
    file is really there, so that faults may name its lines.

    Raises Invalid `ScriptNotFound`, `ScriptNotSupported`, `ModuleNotFound`, `CodeFolderTooWide`, `CodeFolderTooLarge`,
    `ScriptOutsideCode`, `InputNotFound`, and what `packages` raises.
    """
    base = _absolute(at).parent
    code, program, script = _program(ask)
    _check_folder(code, home, named=ask.code is not None)
    environment, part, notes = _environment(ask, script, code, base)
    declared = {"inputs": ask.inputs, "outputs": ask.outputs}
    command = " ".join([*program, *(quote(word, declared, notes) for word in ask.args)])
    definition: dict[str, Any] = {
        "$schema": SCHEMA,
        **{key: ask.keys[key] for key in _LABELS if ask.keys.get(key)},
        "command": command,
        "code": _relative(code, base),
        "environment": environment,
    }
    if ask.variables:
        definition["environment_variables"] = dict(ask.variables)
    if ask.inputs:
        definition["inputs"] = {name: _input(name, value, base) for name, value in ask.inputs.items()}
    if ask.outputs:
        definition["outputs"] = {name: {"type": kind or "uri_folder"} for name, kind in ask.outputs.items()}
    definition |= {key: value for key, value in ask.keys.items() if key not in definition and value}
    text = f"{HEADER}\n" + yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=1 << 20)
    whole = document.load(text, str(at))
    parts = (Part(at, "", whole if kept else document.Document(str(at), whole.data)),)
    return Made(text, jobfile.completed(JobFile(at, whole.data, (*parts, part) if part else parts)), tuple(notes))


def quote(word: str, declared: Mapping[str, Mapping[str, Any]], notes: list[str]) -> str:
    """One argument for the shell, which gives it to the program as it is. A `${{inputs.x}}` of a declared input (or
    output) stays a reference; any other `${{` or `$[[` is taken apart, so that nothing reads it as one."""
    quoted = shlex.quote(word)
    pieces, done = [], 0
    for match in _REFERENCE.finditer(quoted):
        known = match[2] in declared[match[1]]
        if not known:
            close = nearest(match[2], list(declared[match[1]]))
            hint = f" Did you mean {close}?" if close else ""
            notes.append(f"{match[0]} is passed as it is: {match[2]} is not given with --{_OPTION[match[1]]}.{hint}")
            continue
        pieces += [_OPENING.sub("$''", quoted[done : match.start()]), match[0]]
        done = match.end()
    return "".join([*pieces, _OPENING.sub("$''", quoted[done:])])


def _program(ask: Ask) -> tuple[Path, list[str], Path | None]:
    """The code folder, the words that start the program, and the script's file where there is one."""
    if ask.module is not None:
        return _module(ask, ask.module)
    script = ask.script or Path()
    if script.is_dir():
        raise Invalid("ScriptNotSupported", f"'{script}' is a folder.", remedy="Name the script to run in it.")
    if not script.is_file():
        beside = [entry.name for entry in script.parent.iterdir()] if script.parent.is_dir() else []
        close = nearest(script.name, beside)
        raise Invalid(
            "ScriptNotFound",
            f"There is no script '{script}'.",
            remedy=f"Did you mean '{script.parent / close}'?" if close else "Check the path.",
        )
    place = _absolute(script)
    root = _absolute(ask.code or script.parent)
    if root != place.parent and root not in place.parents:
        raise Invalid(
            "ScriptOutsideCode",
            f"'{script}' does not lie in the code folder '{ask.code}'.",
            remedy="Name with --code a folder that holds the script.",
        )
    name = place.relative_to(root).as_posix()
    return root, _start(script, name), script


def _start(script: Path, name: str) -> list[str]:
    shown = _OPENING.sub("$''", shlex.quote(f"./{name}" if name.startswith("-") else name))
    kind = script.suffix.lower()
    if kind == ".py":
        return ["python", shown]
    if kind in _SHELLS:
        return [_SHELLS[kind], shown]
    if kind == ".ipynb":
        raise Invalid(
            "ScriptNotSupported",
            f"'{script}' is a notebook, and `mayfly run` runs scripts.",
            remedy=f"Make it one: jupyter nbconvert --to script {shlex.quote(str(script))}",
        )
    with script.open("rb") as file:
        first = file.readline(200)
    if first.startswith(b"#!") and b"python" in first:
        return ["python", shown]
    if first.startswith(b"#!") and re.search(rb"\b(ba)?sh\b", first):
        return ["bash", shown]
    if kind in (".yml", ".yaml"):
        remedy = f"Submit a job file: mayfly job create --file {shlex.quote(str(script))} --stream"
    else:
        remedy = "Give a .py or .sh file, or write a job file whose command runs it."
    raise Invalid(
        "ScriptNotSupported", f"It is not known how to run '{script}': Python and shell scripts are.", remedy=remedy
    )


def _module(ask: Ask, module: str) -> tuple[Path, list[str], Path | None]:
    root = _absolute(ask.code or Path.cwd())
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module):
        raise Invalid(
            "ModuleNotFound", f"'{module}' is no module's name.", remedy="As in: mayfly run -m package.module"
        )
    place = root.joinpath(*module.split("."))
    script = next((one for one in (place.with_suffix(".py"), place / "__main__.py") if one.is_file()), None)
    if script is None and (root / module.partition(".")[0]).is_dir():
        raise Invalid(
            "ModuleNotFound",
            f"There is no module '{module}' in '{root}': neither {place.name}.py nor {place.name}/__main__.py.",
            remedy="Run the command from the folder that holds the package, or name that folder with --code.",
        )
    return root, ["python", "-m", module], script


def _check_folder(code: Path, home: Path, *, named: bool) -> None:
    """Refuses to send what was hardly meant: the whole home, a system's folder, very many files."""
    if named:
        return
    real = code.resolve()
    if real in (home.resolve(), *home.resolve().parents, *(Path(place) for place in _PLACES)):
        raise Invalid(
            "CodeFolderTooWide",
            f"The script lies in '{code}', and its whole folder would be sent with it.",
            remedy="Move it into a folder of its own; or name the folder to send with --code.",
        )
    rules = ignore.load(code)
    files = size = 0
    shares: dict[str, int] = {}
    for folder, names, found in os.walk(code):
        relative = os.path.relpath(folder, code).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        names[:] = [name for name in names if not rules.ignored(prefix + name, True)]
        for name in found:
            if rules.ignored(prefix + name):
                continue
            files += 1
            shares[prefix.partition("/")[0]] = shares.get(prefix.partition("/")[0], 0) + 1
            try:
                size += (Path(folder) / name).lstat().st_size
            except OSError:
                continue
        if files > MOST_FILES or size > MOST_BYTES:
            largest = max(shares, key=lambda name: shares[name])
            line = f"'{largest}/'" if largest else "what is not code"
            raise Invalid(
                "CodeFolderTooLarge",
                f"The folder of the script, '{code}', has more than {MOST_FILES} files or {MOST_BYTES >> 30} GiB, "
                "and all of it would be sent.",
                remedy=f"Keep {line} at home with a line in .amlignore; or, to send all of it, add --code {shlex.quote(str(code))}",
            )


def _environment(ask: Ask, script: Path | None, code: Path, base: Path) -> tuple[Any, Part | None, list[str]]:
    if ask.env is not None:
        return _named(ask.env, base), None, []
    notes: list[str] = []
    if ask.requirements is not None:
        found, others = packages.read(ask.requirements), []
    else:
        first = _absolute(script).parent if script is not None else code
        found, others = packages.find(script or code, _folders(first, code if ask.code is not None else Path.cwd()))
    if found is None:
        if script is not None and (lacking := packages.imports(script)):
            shown = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
            notes.append(
                f"{script.name} imports {shown}, and nothing says which packages that needs: "
                "write a requirements.txt beside it, or name an environment with --env"
            )
        return {"image": packages.PLAIN_IMAGE}, None, notes
    if others:
        notes.append(f"packages: from {found.source.name}, not from {', '.join(path.name for path in others)}")
    return *_found(found, base), notes


def _found(found: Packages, base: Path) -> tuple[Any, Part | None]:
    if found.kind == "environment":
        return f"file:{_relative(found.source, base)}", None
    if found.kind == "conda":
        return {"image": packages.CONDA_IMAGE, "conda_file": _relative(found.source, base)}, None
    if not found.lines and not found.python:
        return {"image": packages.PLAIN_IMAGE}, None
    placed = found.placed()
    return (
        {"image": packages.CONDA_IMAGE, "conda_file": placed.data},
        Part(found.source, "/environment/conda_file", placed),
    )


def _folders(first: Path, last: Path) -> list[Path]:
    """Where packages may be written down: beside the script, then upwards as far as `last` where that lies above."""
    above = [place for place in first.parents if place == last or last in place.parents]
    return [_near(place) for place in (first, *above)]


def _near(place: Path) -> Path:
    """As people say it from where they stand, where it lies below."""
    here = Path.cwd()
    return place.relative_to(here) if place == here or here in place.parents else place


def _named(name: str, base: Path) -> Any:
    """An environment by what people call it: a curated or registered name, a reference, a file, or an image."""
    if name.startswith("azureml:"):
        return name
    if name.endswith((".yml", ".yaml")) and Path(name).is_file():
        found = packages.read(Path(name))
        return _found(found, base)[0] if found is not None else name
    if "/" in name:
        return {"image": name}
    bare, colon, version = name.partition(":")
    if colon:
        return f"azureml:{bare}:{version}"
    if "@" in name:
        return f"azureml:{name}"
    entry = curated.find(name)
    return (
        f"azureml://registries/azureml/environments/{name}/labels/latest"
        if entry is not None and not name.lower().startswith("azureml-")
        else f"azureml:{name}@latest"
    )


def _input(name: str, value: str, base: Path) -> dict[str, str]:
    """A file or folder of this machine, or an address. Raises Invalid `InputNotFound`."""
    if refers(value) is not Refers.LOCAL:
        last = value.rstrip("/").rpartition("/")[2]
        single = refers(value) in (Refers.REMOTE, Refers.DATASTORE) and "." in last and not value.endswith("/")
        return {"type": "uri_file" if single else "uri_folder", "path": value}
    place = Path(local(value)).expanduser()
    if not place.exists():
        raise Invalid(
            "InputNotFound",
            f"The input '{name}' is neither a file nor a folder: '{value}'.",
            remedy="Plain values are arguments of the script: write them after '--'.",
        )
    return {"type": "uri_file" if place.is_file() else "uri_folder", "path": _relative(place, base)}


def _relative(path: Path, base: Path) -> str:
    """As a job file names it: with './' in front, so that nobody takes it for something else."""
    try:
        text = Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # another drive
        return _absolute(path).as_posix()
    return text if text.startswith("..") or text == "." else f"./{text}"


def _absolute(path: Path) -> Path:
    """Without '..', links left as they are."""
    return Path(os.path.normpath(path.absolute()))
