"""podman or docker, by their command lines (ports.images)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mayfly.kit.errors import Broken, MayflyError, Unavailable
from mayfly.ports.images import Image, Say

PROGRAMS = ("podman", "docker")
"""In this order: podman needs no daemon, and no root."""
_DOUBT_S = 30.0
"""How long an engine that does not answer is believed not to."""
_ASK_S = 20.0
_LAST_LINES = 12
_RUNTIME = re.compile(r"from \S+ creating container for|OCI runtime (?:error|create failed)", re.IGNORECASE)
"""How podman says that it was its runtime that failed, before the step's command had run."""
_NOT_THERE = re.compile(
    r"manifest unknown|not found|no such image|denied|unauthorized|invalid reference", re.IGNORECASE
)
_KEPT = frozenset(
    (
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "DBUS_SESSION_BUS_ADDRESS",
        "CONTAINERS_CONF",
        "CONTAINERS_STORAGE_CONF",
        "CONTAINER_HOST",
        "DOCKER_CONFIG",
        "DOCKER_HOST",
        "REGISTRY_AUTH_FILE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    )
)
"""What an engine sees of the server's variables: nothing of Mayfly's own."""
_SYSTEM_TOOLS = "/usr/sbin:/sbin:/usr/local/sbin"
_REMEMBERED_S = 1.0
_MOST_REMEMBERED = 64
_TRUSTED_S = 60.0
"""How long an answer is, while podman's list of images is the same file: what a name means is not in that alone."""


_State = tuple[int, ...] | None


class CommandLineEngine:
    """`program`: to use this one. Else the first of PROGRAMS that answers, which is looked for again every half a minute
    until there is one."""

    def __init__(
        self,
        program: str | None = None,
        variables: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._programs = (program,) if program else PROGRAMS
        self._variables = {name: variables[name] for name in _KEPT if name in variables}
        self._lock = threading.Lock()
        self._found: str | None = None
        self._why = ""
        self._asked_at = float("-inf")
        self._way = 0
        """Of `_ways`, the first that has not failed here."""
        self._asking = threading.Lock()
        self._known: dict[str, tuple[float, _State, Image | None]] = {}
        self._list: Path | None = None
        """Where podman keeps its list of images; None where that is not known, or not all."""
        self._list_sought = False

    def missing(self) -> str:
        return "" if self._program() else self._why

    def find(self, image: str) -> Image | None:
        """Asking costs a tenth of a second: jobs that are submitted in one go share an answer, at once as well, and it stays for a
        while where no image has come or gone."""
        with self._asking:
            when, before, found = self._known.get(image, (float("-inf"), None, None))
            state = self._state()
            if state != before or self._now() - when > (_REMEMBERED_S if state is None else _TRUSTED_S):
                found = self._inspect(image)
                if len(self._known) >= _MOST_REMEMBERED:
                    self._known.clear()
                self._known[image] = (self._now(), state, found)
            return found

    def _state(self) -> _State:
        """Changes with every image that comes or goes, since podman writes its list anew; None where nothing tells."""
        if not self._list_sought:
            self._list, self._list_sought = self._seek_list(), True
        if self._list is None:
            return None
        try:
            found = self._list.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _seek_list(self) -> Path | None:
        program = self._program()
        if program is None or Path(program).name != "podman":
            return None
        try:
            told = json.loads(self._ask([program, "info", "--format", "json"]) or "")
            store = told["store"]
            elsewhere = told["host"].get("serviceIsRemote") or "imagestore" in json.dumps(store["graphOptions"]).lower()
            return None if elsewhere else Path(store["graphRoot"], f"{store['graphDriverName']}-images", "images.json")
        except (ValueError, LookupError, TypeError, AttributeError):
            return None

    def _inspect(self, image: str) -> Image | None:
        program = self._program()
        told = self._ask([program, "image", "inspect", image]) if program else None
        if not program or told is None:
            return None
        one = json.loads(told)[0]
        config = one.get("Config") or {}
        pairs = (text.partition("=") for text in config.get("Env") or ())
        return Image(one["Id"].removeprefix("sha256:"), program, {name: value for name, _, value in pairs})

    def pull(self, image: str, say: Say, cancelled: threading.Event | None = None) -> Image:
        program = self._needed()
        code, words = self._run([program, "pull", image], say, cancelled)
        found = self._inspect(image)
        if code == 0 and found is not None:
            return found
        what = f"The image {image} could not be fetched: {words}"
        if _NOT_THERE.search(words):
            raise Broken("ImageNotFound", what, remedy="Check its name; log in to its registry if it is private.")
        raise Broken("ImageRegistryUnreachable", what, remedy=f"Try `{program} pull {image}` by hand.")

    def build(
        self,
        context: Path,
        dockerfile: str,
        name: str,
        say: Say,
        cancelled: threading.Event | None = None,
        *,
        pull: bool = False,
    ) -> Image:
        program = self._needed()
        ways = _ways(self._variables) if program == "podman" else [((), ())]
        code, words = 1, ""
        for number, (runtime, isolation) in list(enumerate(ways))[self._way :]:
            argv = [program, *runtime, "build", *isolation, "--tag", name, "--file", str(context / dockerfile)]
            if program == "podman":
                argv.append("--pull=missing" if pull else "--pull=never")
            code, words = self._run([*argv, str(context)], say, cancelled)
            if not code or not _RUNTIME.search(words):
                break
            say(f"This machine does not let {program} start containers {' '.join(runtime)}".rstrip() + ".")
            self._way = min(number + 1, len(ways) - 1)
        if code and _RUNTIME.search(words):
            raise Broken(
                "EngineFailed",
                f"{program} cannot start containers on this machine: {words}",
                remedy="Install runc, or run the server as an ordinary user: then no container is needed.",
            )
        if code:
            raise Broken(
                "ImageBuildFailed",
                f"{program} could not build the image: {words}",
                remedy="Mend the Dockerfile; the whole log stands in the job's log.",
            )
        found = self._inspect(name)
        if found is None:
            raise Broken("EngineFailed", f"{program} built the image and has lost it.", remedy="Try again.")
        return found

    def remove(self, name: str) -> None:
        program = self._program()
        if program and self._inspect(name) is not None:
            self._ask([program, "rmi", name])

    def _needed(self) -> str:
        program = self._program()
        if program is None:
            raise Broken("EngineFailed", self._why, remedy="Install podman, or start the engine.")
        return program

    def _program(self) -> str | None:
        with self._lock:
            if self._found is None and time.monotonic() - self._asked_at >= _DOUBT_S:
                self._found, self._why = self._look()
                self._asked_at = time.monotonic()
            return self._found

    def _look(self) -> tuple[str | None, str]:
        said = []
        for program in self._programs:
            if shutil.which(program, path=self._variables.get("PATH")) is None:
                continue
            question = ["info", "--format", "{{.Host.Arch}}" if program == "podman" else "{{.ServerVersion}}"]
            done = self._tried([program, *question])
            if done is not None and done.returncode == 0 and done.stdout.strip():
                return program, ""
            words = "it did not answer" if done is None else (done.stderr or done.stdout).strip().splitlines()
            said.append(
                f"{program} is here and does not work: {words if isinstance(words, str) else ' '.join(words[-1:])}"
            )
        return None, " ".join(said) or "Neither podman nor docker is installed."

    def _ask(self, argv: Sequence[str]) -> str | None:
        done = self._tried(argv)
        return done.stdout if done is not None and done.returncode == 0 else None

    def _tried(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
        try:
            return subprocess.run(
                argv, capture_output=True, text=True, errors="replace", timeout=_ASK_S, env=self._variables, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None

    def _run(self, argv: Sequence[str], say: Say, cancelled: threading.Event | None) -> tuple[int, str]:
        """Its exit code and its last words. Raises Unavailable when cancelled."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._variables,
            start_new_session=True,
        )
        over = threading.Event()
        watcher = threading.Thread(target=_kill_when, args=(process, cancelled, over), daemon=True)
        if cancelled is not None:
            watcher.start()
        last: deque[str] = deque(maxlen=_LAST_LINES)
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                text = line.decode("utf-8", "replace").rstrip()
                last.append(text)
                say(text)
        code = process.wait()
        over.set()
        if cancelled is not None and cancelled.is_set():
            raise Unavailable("EnvironmentBuildCancelled", "The image is not needed any more.")
        return code, "\n".join(last)


def _ways(variables: Mapping[str, str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """How podman may run a Dockerfile's commands: its own options, and those of `build`. Without a container (chroot) only
    where they have no more rights than an ordinary user's: root could leave it."""
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), ())]
    search = os.pathsep.join((variables.get("PATH", ""), _SYSTEM_TOOLS))
    if runc := shutil.which("runc", path=search):
        found.append((("--runtime", runc), ()))
    if os.geteuid() != 0:
        found.append(((), ("--isolation", "chroot")))
    return found


def _kill_when(process: subprocess.Popen[Any], cancelled: threading.Event, over: threading.Event) -> None:
    """End the engine and what it started, when that is wished for before it has ended."""
    while not cancelled.wait(0.2):
        if over.is_set():
            return
    if not over.is_set():
        os.killpg(process.pid, signal.SIGKILL)


class NoEngine:
    """Where containers are not to be used."""

    def missing(self) -> str:
        return "Containers are switched off here."

    def find(self, image: str) -> Image | None:
        return None

    def pull(self, image: str, say: Say, cancelled: threading.Event | None = None) -> Image:
        raise _none()

    def build(
        self,
        context: Path,
        dockerfile: str,
        name: str,
        say: Say,
        cancelled: threading.Event | None = None,
        *,
        pull: bool = False,
    ) -> Image:
        raise _none()

    def remove(self, name: str) -> None:
        pass


def _none() -> MayflyError:
    return Broken("EngineFailed", "Containers are switched off here.")
