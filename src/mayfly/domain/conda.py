"""Conda's dependency lists, read as far as Python's own package index can satisfy them; the rest is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mayfly.domain.conda_names import NATIVE, OTHER_NAME, SAME_NAME
from mayfly.domain.references import shown
from mayfly.kit.errors import Fault

_SPEC = re.compile(
    r"(?:(?P<channel>[\w./:-]+)::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<version>(?:[=<>!~]|\d).*)?\Z", re.DOTALL
)
_CLAUSE = re.compile(r"\s*(~=|==|=|!=|<=|>=|<|>)?\s*(\d[\w.!+*-]*|\*)\s*\Z")
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_PIN = r"(?:~=|===|==|!=|<=|>=|<|>)\s*[\w.!+*-]+"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\[\s*(?:{_NAME}(?:\s*,\s*{_NAME})*)?\s*\])?\s*"
    rf"(?:{_PIN}(?:\s*,\s*{_PIN})*,?|\(\s*{_PIN}(?:\s*,\s*{_PIN})*\s*\))?\s*(?:;.+)?\Z"
)

_ODD = re.compile(r"[^\S \t]|[\x00-\x08\x0e-\x1f\x7f\x85]|\s--|.{1000}")
"""What could begin a line, and so an option, for who reads the list; and what is no requirement for its length."""
_INDEX = re.compile(
    r"(?P<option>-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host)[\s=]\s*(?P<where>\S{1,200})\Z"
)


_PIP = re.compile(r"pip\b(?!-)", re.IGNORECASE)
_WITH_PIP = "setuptools<81"
"""What conda's pip brings with it, and packages of its time import without asking for it; newer ones lack `pkg_resources`."""


@dataclass(slots=True)
class Wishes:
    """What a conda file asks for. `faults` holds everything that is not supported, each with its place."""

    python: str | None = None
    requirements: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = field(default=())


def read(conda_file: Mapping[str, Any], pointer: str) -> Wishes:
    """Read `channels` and `dependencies`; never raises, faults are collected."""
    wishes = Wishes()
    channels = conda_file.get("channels") or ()
    if isinstance(channels, list | tuple) and channels:
        wishes.channels = tuple(str(channel) for channel in channels)
        wishes.notes = (f"Conda channels are not used ({', '.join(wishes.channels)}): packages come by pip.",)
    dependencies = conda_file.get("dependencies")
    if not isinstance(dependencies, list | tuple):
        _fault(wishes, "CondaFileInvalid", "The conda file has no list 'dependencies'.", pointer, None)
        return wishes
    for index, entry in enumerate(dependencies):
        place = f"{pointer}/dependencies/{index}"
        if isinstance(entry, str):
            _conda(wishes, entry.strip(), place)
        elif isinstance(entry, Mapping) and list(entry) == ["pip"] and isinstance(entry["pip"], list | tuple | None):
            for line_index, line in enumerate(entry["pip"] or ()):
                _pip(wishes, line, f"{place}/pip/{line_index}")
        else:
            _fault(
                wishes,
                "CondaDependencyInvalid",
                "A dependency is a text such as 'numpy=1.26' or a mapping 'pip: […]'.",
                place,
                "Write the pip packages as a list below '- pip:'.",
            )
    has_pip = any(isinstance(entry, str) and _PIP.match(entry.strip()) for entry in dependencies)
    others = [one for one in wishes.requirements if not _PIP.match(one)]
    if has_pip and others and not any(one.lower().startswith("setuptools") for one in others):
        wishes.requirements = (*wishes.requirements, _WITH_PIP)
    return wishes


def _conda(wishes: Wishes, entry: str, place: str) -> None:
    match = _SPEC.match(entry)
    if match is None or "[" in entry:
        _fault(wishes, "CondaDependencyInvalid", f"'{entry}' cannot be read.", place, "Write it as in 'numpy=1.26'.")
        return
    name = match["name"].lower()
    pin = _pin(match["version"] or "")
    if pin is None:
        _fault(
            wishes,
            "CondaDependencyInvalid",
            f"The version in '{entry}' cannot be read.",
            place,
            "Write it as in 'numpy=1.26' or 'numpy>=1.24,<2'.",
        )
    elif name == "python":
        wishes.python = pin.removeprefix("==").removesuffix(".*") or None
    elif name == "pip" or _on_the_index(name):
        if name != "pip" or pin:
            wishes.requirements = (*wishes.requirements, OTHER_NAME.get(name, name.replace("_", "-")) + pin)
    elif name in NATIVE:
        _fault(
            wishes,
            "CondaPackageNotSupported",
            f"The conda package '{name}' is a program or library of the system, which Python's index does not have.",
            place,
            "Remove the line if your Python packages bring what they need (their wheels mostly do); else use an image "
            "that has it, or build one ('build:'), where podman or docker is installed.",
        )
    else:
        _fault(
            wishes,
            "CondaPackageNotSupported",
            f"The conda package '{name}' is not supported: packages come from Python's index here, and it is not known "
            "to be the same there.",
            place,
            f"If pip has it, move it below '- pip:' as '{name}{pin}'; if your code does not need it, remove the line.",
        )


def _on_the_index(name: str) -> bool:
    return name in OTHER_NAME or name.replace("_", "-") in SAME_NAME


def _pin(text: str) -> str | None:
    """A conda version as pip writes it: '=1.21' → '==1.21.*', '=1.21.2' → '==1.21.2', '>=1,<2' stays; a build string
    is dropped. None when unreadable."""
    text = text.strip()
    text = re.sub(r"\A(={1,2}[^=,<>]+)=[^=,]+\Z", r"\1", text)
    if not text or text in ("*", "=*", "==*"):
        return ""
    clauses = []
    for part in text.split(","):
        match = _CLAUSE.match(part)
        if match is None:
            return None
        operator, version = match[1] or "=", match[2]
        if version == "*":
            continue
        if operator == "=":
            exact = version.count(".") >= 2 or version.endswith("*")
            operator, version = "==", version if exact else f"{version}.*"
        elif operator != "==" and operator != "!=":
            version = version.removesuffix(".*").removesuffix("*")
        clauses.append(operator + version)
    return ",".join(clauses)


def _pip(wishes: Wishes, entry: Any, place: str) -> None:
    line = re.sub(r"(?:\A|\s)#.*", "", str(entry)).strip()
    if (index := _INDEX.match(line)) is not None:
        where = shown(index["where"])
        note = f"{index['option']} {where} is not followed: packages come by the server's own pip or uv configuration."
        wishes.notes = (*wishes.notes, note)
        return
    if not isinstance(entry, str) or _ODD.search(line) or _REQUIREMENT.match(line) is None:
        if line or not isinstance(entry, str):
            _fault(wishes, *_pip_fault(line, place))
        return
    wishes.requirements = (*wishes.requirements, line)


def _pip_fault(line: str, place: str) -> tuple[str, str, str, str]:
    code = "PipLineNotSupported"
    if line.startswith(("-r", "--requirement", "-c", "--constraint")):
        return code, f"'{line}' names another file.", place, "Write that file's lines here in its place."
    if line.startswith(("-e", "--editable", ".", "/", "file:")):
        return code, f"'{line}' names a local folder or file.", place, "Put the package into the job's code folder."
    if line.startswith("-"):
        return code, f"'{line}' is an option of pip.", place, "Remove the line."
    if "://" in line or " @ " in line:
        return (
            code,
            f"'{line}' names an address instead of a package.",
            place,
            "Name a released version, as in 'numpy==1.26.4', or install it in the job's command with pip.",
        )
    single = re.match(rf"({_NAME})\s*=\s*(?!=)(\S+)\Z", line)
    remedy = f"Write '{single[1]}=={single[2]}'." if single else "Write it as in 'numpy==1.26.4' or 'numpy>=1.24,<2'."
    return "PipLineInvalid", f"'{line}' is not a requirement that pip understands.", place, remedy


def _fault(wishes: Wishes, code: str, message: str, pointer: str, remedy: str | None) -> None:
    wishes.faults = (*wishes.faults, Fault(code, message, pointer, remedy))
