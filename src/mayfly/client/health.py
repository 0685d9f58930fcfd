"""Whether Mayfly can work here: one check for each thing that is known to go wrong, each with its remedy.

Needs no server and starts none. What only a node can try is asked of the node's own program, in a process of its own.
"""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mayfly import __version__
from mayfly.client import chain, configuration, packageindex, shell
from mayfly.client.connecting import Settings, open_session, running
from mayfly.client.doors import Place
from mayfly.client.home import read_record
from mayfly.kit.clock import Clock
from mayfly.kit.errors import MayflyError
from mayfly.kit.units import format_bytes

OURS, STRAY = "mayfly-ml", "mayfly"
LEAST_PYTHON = (3, 11)
LITTLE, TIGHT = 1 << 30, 5 << 30
"""Bytes free: below the first nothing can be installed, below the second not much."""
_TRIED_WITHIN_S = 60
_MODULES = ("click", "httpx", "msgspec", "mlflow", "pydantic", "rich", "sqlalchemy", "yaml", "fastapi", "uvicorn")

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: State
    message: str
    remedy: str = ""
    """What to do, where it is not ok."""


def checks(settings: Settings, clock: Clock) -> Iterator[Check]:
    """Each as soon as it is known, in the order in which to mend them."""
    yield _interpreter()
    yield from _package()
    yield _modules()
    yield _tools()
    yield _folder(settings.folder)
    yield _configuration(settings.folder)
    yield _disk(settings.folder)
    if settings.remote:
        yield _remote(settings)
    else:
        yield from _node(settings)
        yield from packageindex.checks(settings.environ, clock, Check)
        yield _server(settings)
        yield from _azure(settings)
        record = read_record(settings.folder)
        yield from shell.checks(settings.environ, record if record is not None and record.alive() else None, Check)


def _interpreter() -> Check:
    version = platform.python_version()
    if sys.version_info < LEAST_PYTHON:
        needed = ".".join(map(str, LEAST_PYTHON))
        return Check("interpreter", "fault", f"Python {version} is too old.", f"Install Python {needed} or newer.")
    return Check("interpreter", "ok", f"Python {version} on {platform.system()} {platform.machine()}, {sys.executable}")


def _package() -> Iterator[Check]:
    """The name `mayfly` on the package index is somebody else's; installed beside ours it writes over our files."""
    stray = _version(STRAY)
    again = f"{sys.executable} -m pip install --force-reinstall --no-deps {OURS}"
    if stray is not None:
        yield Check(
            "package",
            "fault",
            f"The package '{STRAY}' {stray} of another author is installed where '{OURS}' belongs.",
            f"{sys.executable} -m pip uninstall -y {STRAY} && {again}",
        )
    elif _version(OURS) is None:
        place = Path(__file__).parents[1]
        yield Check("package", "warning", f"Runs from {place} without being installed.", f"pip install {OURS}")
    elif _version(OURS) != __version__:
        message = f"'{OURS}' {_version(OURS)} is installed, but the code that runs is {__version__}."
        yield Check("package", "fault", message, again)
    else:
        yield Check("package", "ok", f"{OURS} {__version__}")
    own, first = Path(sysconfig.get_path("scripts")) / "mayfly", shutil.which("mayfly")
    if first is not None and own.exists() and not os.path.samefile(first, own):  # noqa: PTH121
        yield Check(
            "command",
            "warning",
            f"The command 'mayfly' of your shell is another one: {first}.",
            f"Put {own.parent} first on PATH, or call {own}.",
        )


def _modules() -> Check:
    """A file of your own under the name of one that we need hides it."""
    homes = [os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    for name in (*_MODULES, "mayfly"):
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            remedy = f"{sys.executable} -m pip install --force-reinstall {OURS}"
            return Check("modules", "fault", f"The module '{name}' is missing.", remedy)
        origin = os.path.realpath(spec.origin)
        inside = any(origin.startswith(home + os.sep) for home in homes)
        if not inside and name != "mayfly" and _near(origin):
            return Check("modules", "fault", f"'{name}' is hidden by {origin}.", "Rename that file or folder.")
    for entry in (Path.cwd(), *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))):
        if (entry / "mayfly.py").is_file():
            return Check("modules", "fault", f"{entry / 'mayfly.py'} hides Mayfly's own code.", "Rename that file.")
    return Check("modules", "ok", f"all {len(_MODULES)} that are needed, none hidden by another")


def _near(origin: str) -> bool:
    """Whether a module lies where a person's own files are: the present folder, or one of PYTHONPATH."""
    places = [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return any(origin.startswith(os.path.realpath(place) + os.sep) for place in places)


def _tools() -> Check:
    uv = _uv()
    versions = [f"mayfly {__version__}", f"mlflow {_version('mlflow') or 'missing'}", f"uv {uv or 'missing'}"]
    if uv is None:
        remedy = f"{sys.executable} -m pip install --force-reinstall uv"
        return Check("versions", "fault", "uv, which makes environments, does not start.", remedy)
    return Check("versions", "ok", ", ".join(versions))


def _uv() -> str | None:
    beside = Path(sysconfig.get_path("scripts")) / "uv"
    command = str(beside) if beside.exists() else shutil.which("uv")
    if command is None:
        return None
    try:
        done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split()[1] if len(done.stdout.split()) > 1 else None


def _folder(folder: Path) -> Check:
    choose = "Set MAYFLY_HOME to a folder of your own."
    if not folder.exists():
        above = _existing(folder)
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            return Check("state folder", "fault", f"{folder} cannot be made: {above} is not ours to write.", choose)
        return Check("state folder", "ok", f"{folder} will be made by the first command")
    try:
        told = folder.stat()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check("state folder", "fault", f"{folder} cannot be used: {error.strerror or error}.", choose)
    if os.name == "posix" and told.st_uid != os.geteuid():
        return Check("state folder", "fault", f"{folder} belongs to another user.", choose)
    if os.name == "posix" and stat.S_IMODE(told.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(told.st_mode):o}"
        return Check("state folder", "warning", f"{folder} is open to others (mode {mode}).", f"chmod 700 {folder}")
    return Check("state folder", "ok", str(folder))


def _configuration(folder: Path) -> Check:
    try:
        configuration.load(folder)
    except MayflyError as error:
        fault = error.all_faults()[0]
        return Check("configuration", "fault", fault.message, fault.remedy or "Mend the file, or remove it.")
    except OSError as error:
        return Check("configuration", "fault", f"config.yml cannot be read: {error.strerror}.", f"See {folder}.")
    there = (folder / "config.yml").exists()
    return Check("configuration", "ok", str(folder / "config.yml") if there else "none, so everything is as built in")


def _disk(folder: Path) -> Check:
    place = _existing(folder)
    free = shutil.disk_usage(place).free
    words = f"{format_bytes(free)} free below {place}"
    remedy = "Free some space (mayfly gc), or set MAYFLY_HOME to a folder on another disk."
    if free < TIGHT:
        return Check("disk", "fault" if free < LITTLE else "warning", f"Only {words}.", remedy)
    return Check("disk", "ok", words)


def _node(settings: Settings) -> Iterator[Check]:
    if sys.platform != "linux":
        yield Check(
            "sandbox",
            "fault",
            f"{platform.system()} runs no jobs; Linux does.",
            "Set MAYFLY_SERVER and MAYFLY_TOKEN_FILE to those of a server on Linux.",
        )
        return
    can = _capabilities(settings)
    if can is None:
        remedy = f"Run it to see why: {sys.executable} -m mayfly.main.node --probe {settings.folder}"
        yield Check("sandbox", "fault", "A node's own program does not start.", remedy)
        return
    yield _isolation(can)
    if missing := [name for name in ("cpu", "memory") if name not in can["limits"]]:
        yield Check(
            "limits",
            "warning",
            f"Jobs are not held to their {' and '.join(missing)}: control groups cannot be written.",
            "Run as root, or have the group delegated: systemd-run --user --scope -p Delegate=yes mayfly up",
        )
    else:
        yield Check("limits", "ok", f"control groups hold {', '.join(can['limits'])}")
    if can["mounts"]:
        remedy = "Install fuse3 and allow /dev/fuse; until then remote data is copied before a job starts."
        yield Check("streaming", "warning", f"Remote data cannot be streamed: {can['mounts']}.", remedy)
    else:
        yield Check("streaming", "ok", "FUSE is there")
    if can["overlay"]:
        yield Check("overlay", "ok", "a job may change its packages without changing the cache")
    else:
        remedy = "Nothing is lost; a newer kernel (5.11), or running as root, allows it."
        message = "No overlay mounts: packages that a job installs go into a layer in front instead."
        yield Check("overlay", "warning", message, remedy)


def _isolation(can: Mapping[str, Any]) -> Check:
    if can["isolation"] == "none":
        remedy = "Install bubblewrap (apt-get install bubblewrap), or allow unprivileged user namespaces."
        return Check("sandbox", "warning", "Jobs run as plain processes with all your rights.", remedy)
    if can["isolation"] == "uid":
        remedy = "Install bubblewrap (apt-get install bubblewrap)."
        return Check("sandbox", "warning", "Jobs run under users of their own, but see the machine's files.", remedy)
    return Check("sandbox", "ok", f"{can['isolation']}" + (", users of their own" if can["separate_user"] else ""))


def _capabilities(settings: Settings) -> dict[str, Any] | None:
    place = _existing(settings.folder)
    command = [sys.executable, "-m", "mayfly.main.node", "--probe", str(place)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_TRIED_WITHIN_S, check=True, env=dict(settings.environ), cwd="/"
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _server(settings: Settings) -> Check:
    record = read_record(settings.folder)
    if record is None or not record.alive():
        started = "the first command that needs one starts it" if settings.autostart else "MAYFLY_AUTOSTART is off"
        return Check("server", "ok", f"none runs; {started}")
    try:
        with open_session(record) as session:
            version = str(session.get("/mayfly/v1/server").get("version", ""))
    except MayflyError as error:
        remedy = error.remedy or f"Read {settings.folder / 'server.log'}; `mayfly down` and `mayfly up` begin anew."
        return Check("server", "fault", error.message, remedy)
    return _same(version, record.url, "Type `mayfly down`, then your command again: running jobs go on.")


def _azure(settings: Settings) -> Iterator[Check]:
    """Where a server runs: whether Azure's clients would reach it."""
    record = read_record(settings.folder)
    if record is None or not record.alive():
        return
    try:
        defaults = configuration.load(settings.folder).defaults
        names = (defaults.subscription, defaults.resource_group, defaults.workspace)
        yield Check("azure", "ok", chain.walk(record, names, settings.environ, settings.folder))
    except chain.Broken as broken:
        yield Check("azure", "fault", f"Azure's clients stop at the {broken.link}: {broken.message}", broken.remedy)
    except (MayflyError, OSError):
        return  # the configuration, which has its own line


def _remote(settings: Settings) -> Check:
    try:
        doors = running(settings, Place())
        version, url = str(doors.server().get("version", "")), doors.session.base_url
        doors.session.close()
    except MayflyError as error:
        return Check("server", "fault", error.message, error.remedy or "Check MAYFLY_SERVER and the token.")
    return _same(version, url, f"Install the server's version beside this command: pip install {OURS}=={version}")


def _same(version: str, url: str, remedy: str) -> Check:
    if version != __version__:
        message = f"The server at {url} is Mayfly {version}, this command is {__version__}."
        return Check("server", "fault", message, remedy)
    return Check("server", "ok", f"Mayfly {version} at {url}")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _version(name: str) -> str | None:
    """Of an installed distribution of exactly this name."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
