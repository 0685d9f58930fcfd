"""The real Pythons of this machine, each asked once by running it. A shim (a script that looks for a Python) never
counts: it costs 100 ms a start and may change its mind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mayfly.domain.interpreters import numbers
from mayfly.ports.resolver import Interpreter

OLDEST = (3, 8)
_NAME = re.compile(r"python(?:3(?:\.\d+)?)?\Z")
_ASK = "import json,os,sys;print(json.dumps([os.path.realpath(sys.executable),'.'.join(map(str,sys.version_info[:3])),sys.prefix!=getattr(sys,'base_prefix',sys.prefix),sys.implementation.name]))"


def find_interpreters(environ: Mapping[str, str]) -> tuple[Interpreter, ...]:
    """CPython 3.8 or newer, pre-releases left out: the one under the present process first, then the newest first;
    of one version the first found. Never raises: what does not answer within 10 s is not there."""
    own = Path(sys.executable).resolve()
    candidates = list(dict.fromkeys([own, *_candidates(environ)]))
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(_ask, candidates))
    found: dict[str, Interpreter] = {}
    for answer in answers:
        if answer is not None and numbers(answer.version) >= OLDEST:
            found.setdefault(answer.version, answer)
    first = [answers[0]] if answers[0] is not None else []
    rest = [one for one in found.values() if one not in first]
    rest.sort(key=lambda one: numbers(one.version), reverse=True)
    return (*first, *rest)


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    home = Path(environ.get("HOME") or "/nonexistent")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    for root in (Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions", data / "uv" / "python"):
        folders += [version / "bin" for version in _entries(root)]
    for folder in folders:
        for entry in _entries(folder):
            if _NAME.match(entry.name) and os.access(entry, os.X_OK):
                real = entry.resolve()
                if real.is_file() and not _is_script(real):
                    yield real


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _ask(path: Path) -> Interpreter | None:
    try:
        answer = subprocess.run(
            [str(path), "-I", "-S", "-c", _ASK], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL
        )
        real, version, virtual, implementation = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return None if virtual or implementation != "cpython" else Interpreter(real, version)
