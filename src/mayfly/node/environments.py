"""Cached environments by digest, and the private layer that each job gets above one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from mayfly.kit.errors import Broken
from mayfly.node.bytecode import Bytecode
from mayfly.node.cache import built_once, pin
from mayfly.node.disk import read_json, write_json
from mayfly.node.progress import Progress, watched
from mayfly.transfer.pip_settings import tool_environment, uv_options
from mayfly.wire.agent import EnvironmentPlan

_ASK = (
    "import json,sys,sysconfig,os;"
    "d=os.path.join(sysconfig.get_path('stdlib'),'ensurepip','_bundled');"
    "w=[os.path.join(p,f) for p in (d,'/usr/share/python-wheels') if os.path.isdir(p)"
    " for f in sorted(os.listdir(p)) if f.startswith('pip-') and f.endswith('.whl')];"
    "print(json.dumps({'executable':os.path.realpath(sys.executable),'prefix':sys.base_prefix,"
    "'exec_prefix':sys.base_exec_prefix,"
    "'version':'%d.%d'%sys.version_info[:2],'full':'%d.%d.%d'%sys.version_info[:3],'pip':w[-1] if w else ''}))"
)
_LAST_LINES = 12
_GONE = re.compile(
    r"there is no version of ([\w.-]+==[^\s,]+)|Because ([\w.-]+) was not found in the p(?:ackage|rovided)"
    r"|Failed to download `([^`]+)`.*?(?:Hash mismatch|status client error \(4(?:04|10)\b)"
)
"""How uv says that a package of a lock is not there any more, or is another file now."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    executable: str
    """The real one, links followed."""
    prefix: str
    exec_prefix: str
    version: str
    """'3.11'."""
    full: str
    pip: str
    """A wheel of pip that came with it; '' when there is none."""


@dataclass(frozen=True, slots=True)
class Built:
    """An environment ready to be layered on. `root` is None for the bare interpreter."""

    interpreter: Interpreter
    root: Path | None
    pip: Path | None
    """A folder with pip in it, for environments that have none."""
    is_open: bool = False
    """Its folders may be written by every user: only ever shown below an overlay."""


class Environments:
    """Builds below `<cache>/environments`, once for all processes of the machine that share the cache."""

    def __init__(self, cache: Path, variables: Mapping[str, str] = os.environ, *, overlays: bool = False) -> None:
        """`overlays`: jobs get theirs below an overlay. Such an environment has open folders, since an overlay asks the
        job's user for the rights that the folder below has; it lies beside the one for jobs without."""
        self._cache = cache
        self.overlays = overlays
        self._variables = variables
        self._bytecode = Bytecode()

    def close(self) -> None:
        """End what runs in the background."""
        self._bytecode.close()

    def build(
        self,
        plan: EnvironmentPlan,
        log: Path,
        running: Callable[[subprocess.Popen[bytes]], None],
        tell: Callable[[str], None] = lambda _progress: None,
        pins: Path | None = None,
    ) -> Built:
        """The environment, from the cache or made by uv, whose words go to the end of `log`. `running` is given each
        tool as it starts, so that the caller can kill it; `tell` how far it is, now and then. `pins`:
        of the attempt that uses it. Raises Broken `EnvironmentBuildFailed`, `EnvironmentPackageGone`."""
        interpreter = self.interpreter(plan.python or sys.executable)
        root = None
        if plan.digest and plan.lock is not None:
            place = self._cache / "environments" / (plan.digest + ("-open" if self.overlays else ""))
            if pins is not None:
                pin(place, pins)
            root = built_once(place, lambda part: self._make(plan, part, place, log, running, tell))
            self._bytecode.later(root, interpreter.executable, 0 if self.overlays else 0o022)
        return Built(interpreter, root, self._pip(interpreter), self.overlays)

    def interpreter(self, python: str) -> Interpreter:
        """What that interpreter is. Raises Broken `InterpreterMissing`."""
        key = hashlib.sha256(f"{python}:{_mtime(python)}".encode()).hexdigest()[:24]
        place = self._cache / "interpreters" / f"{key}.json"
        told = read_json(place)
        if told is None:
            try:
                done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, timeout=60, check=True, env={})
            except (OSError, subprocess.SubprocessError) as error:
                raise Broken(
                    "InterpreterMissing", f"The interpreter '{python}' does not run on this node: {error}."
                ) from error
            told = json.loads(done.stdout)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, told)
        return Interpreter(**told)

    def _pip(self, interpreter: Interpreter) -> Path | None:
        """pip for jobs whose environment has none, from the wheel that every Python brings."""
        if not interpreter.pip:
            return None

        def unpack(part: Path) -> None:
            with zipfile.ZipFile(interpreter.pip) as wheel:
                wheel.extractall(part)

        name = f"{Path(interpreter.pip).stem}-{interpreter.full}"
        return built_once(self._cache / "pip" / name, unpack)

    def _make(
        self,
        plan: EnvironmentPlan,
        part: Path,
        place: Path,
        log: Path,
        running: Callable[[subprocess.Popen[bytes]], None],
        tell: Callable[[str], None],
    ) -> None:
        tool = uv_tool()
        lock = part / "requirements.lock"
        lock.write_text(plan.lock or "", encoding="utf-8")
        python = part / "bin" / "python"
        variables = self._tool_variables()
        progress = Progress(plan.lock or "", part, Path(variables["UV_CACHE_DIR"]))
        with log.open("ab", buffering=0) as output:

            def say(text: str) -> None:
                output.write(f"{text}\n".encode())
                tell(text)

            def run(*argv: str) -> None:
                process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables)
                running(process)
                if process.wait() != 0:
                    raise _failure(plan, log)

            output.write(f"Building the environment {plan.name} for Python {plan.python_version}.\n".encode())
            run(tool, "venv", "--quiet", "--allow-existing", "--relocatable", "--python", plan.python, str(part))
            with watched(progress, say):
                run(
                    *(tool, "pip", "install", "--python", str(python), "--require-hashes", "--no-deps"),
                    *("-r", str(lock), *uv_options(self._variables)),
                )
        _write_wrappers(part, place)
        part.chmod(0o755)
        if self.overlays:
            for folder, _, _ in os.walk(part):
                os.chmod(folder, 0o777)  # noqa: PTH101

    def _tool_variables(self) -> dict[str, str]:
        found = tool_environment(self._variables)
        found.setdefault("UV_CACHE_DIR", str(self._cache / "uv"))
        found.setdefault("UV_PYTHON_DOWNLOADS", "never")
        for name in ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_BUILD_CONSTRAINT"):  # the lock has been made within them
            found.pop(name, None)
        return found | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def uv_tool() -> str:
    """uv, beside our own interpreter or where its package says. Raises Broken `EnvironmentToolMissing`."""
    beside = Path(sys.executable).with_name("uv")
    if beside.exists():
        return str(beside)
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        found = shutil.which("uv")
        if found:
            return found
        raise Broken("EnvironmentToolMissing", "uv is not installed on this node.", remedy="pip install uv") from error


def _write_wrappers(root: Path, final: Path) -> None:
    """One small script for each console script of the environment, which runs it in the job's own layer."""
    folder = root / "wrappers"
    folder.mkdir()
    for script in sorted((root / "bin").iterdir()):
        if script.is_symlink() or not script.is_file() or re.match(r"python|activate|pip\d*\Z", script.name):
            continue
        with script.open("rb") as file:
            head = file.read(300)
        if head.startswith(b"#!") and b"python" in head:
            wrapper = folder / script.name
            wrapper.write_text(
                f'#!/bin/sh\nexec "${{VIRTUAL_ENV}}/bin/python" \'{final / "bin" / script.name}\' "$@"\n',
                encoding="utf-8",
            )
            wrapper.chmod(0o755)


def _failure(plan: EnvironmentPlan, log: Path) -> Broken:
    """In uv's words; with a code of its own where a package that the lock names cannot be had any more."""
    text = log.read_text(encoding="utf-8", errors="replace")
    words = "\n".join(text.splitlines()[-_LAST_LINES:])
    gone = _GONE.search(" ".join(text.split()))
    if gone is None:
        return Broken(
            "EnvironmentBuildFailed",
            f"The environment {plan.name} could not be built: {words}",
            remedy="See the build log.",
        )
    package = next(part for part in gone.groups() if part)
    return Broken(
        "EnvironmentPackageGone",
        f"The environment {plan.name} could not be built: {package}, which was there when its packages were chosen, "
        f"cannot be had any more. {words}",
        remedy="`mayfly environment build` finds a new lock for it.",
    )


def _mtime(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
