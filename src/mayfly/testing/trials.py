"""Lives that processes of ours die in: one embedded server, somebody who brings it up again, and a story that must end
the same whatever died (`testing/lives.py` has the stories)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mayfly.testing import images
from mayfly.testing.embedded import ENDED, Embedded
from mayfly.testing.nodes import until
from mayfly.testing.pairs import Pair

PATIENCE_S = 90.0
"""How long anything may take that has to be healed first, on a busy machine."""


class ToldSo(Exception):
    """The story ended early because a supervisor was killed: how a process ended whose parent died, nobody can know,
    and that is what Mayfly said."""


@dataclass(slots=True)
class Trial:
    """A server that is started again whenever it has died; what a person does who tries until it is done."""

    one: Embedded
    points: Sequence[str] = ()
    """Where processes die, once each."""
    deaths: int = 0
    """How often a server was brought up again."""
    begun: bool = False
    """Nobody dies before all servers have begun."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _healer: threading.Thread | None = None

    @property
    def _mark(self) -> Path:
        return self.one.place / "died"

    @property
    def trace(self) -> Path:
        return self.one.place / "trace"

    def __enter__(self) -> Trial:
        self.one.environ.setdefault("MAYFLY_IDLE_SECONDS", "0.5")
        told = {"MAYFLY_KILL_AT": ";".join(self.points), "MAYFLY_KILL_ONCE": str(self._mark)}
        self.one.environ |= told if self.points else {"MAYFLY_KILL_TRACE": str(self.trace)}
        if self.begun:
            for mark in self._marks():
                mark.touch()
        self.one.start()
        if self.begun:
            for file in (*self._marks(), self.trace):
                file.unlink(missing_ok=True)
        self._healer = threading.Thread(target=self._heal, name="healer", daemon=True)
        self._healer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._healer is not None
        self._healer.join()

    def missed(self) -> list[str]:
        """The points at which nobody has died yet; nobody will any more."""
        missed = [point for point, mark in zip(self.points, self._marks(), strict=True) if not mark.exists()]
        for mark in self._marks():
            mark.touch()
        return missed

    def _marks(self) -> list[Path]:
        return [Path(f"{self._mark}.{n}") if n else self._mark for n in range(len(self.points))]

    def passed(self) -> list[str]:
        """The kill points that this life came by so far, in the order of the first time."""
        try:
            return list(dict.fromkeys(self.trace.read_text().splitlines()))
        except FileNotFoundError:
            return []

    def healed(self) -> None:
        """When this returns, the store obeys its laws, no node is left and nothing is held."""
        self.until(lambda: not any(row["held"] for row in self.call("GET", "/usage")))
        self.until(lambda: not self.one.nodes())
        self.until(lambda: not self.one.problems())

    # --- what a person does, again and again until it is done -------------------------------------------------------

    def until(self, done: Callable[[], Any]) -> Any:
        return until(done, PATIENCE_S, 0.05)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """As `Embedded.call`, until somebody has answered."""
        return insisting(lambda: self.one.call(method, path, body))

    def run(self, *args: str) -> str:
        """What the command said, once it succeeded. It is given again only where the server did not answer."""
        end = time.monotonic() + PATIENCE_S
        codes = ("ServerUnreachable", "ServerSilent", "ServerNotRunning", "ServerStopping")
        while True:
            said = self.one.run(*args)
            if said.status == 0:
                return said.out
            lost = any(f"[{code}]" in said.err for code in codes)
            assert lost and time.monotonic() < end, f"mayfly {' '.join(args)}: {said.status} {said.err}"
            time.sleep(0.05)

    def post(self, name: str, definition: Mapping[str, Any]) -> None:
        self.call("POST", "/jobs", {"definition": {**definition, "name": name}})

    def submit(self, name: str, definition: Mapping[str, Any], **files: str) -> None:
        """With the real command, and `files` as the code of it."""
        path = self.one.write({**definition, "name": name, **({"code": "./src"} if files else {})})
        for file, text in files.items():
            (path.parent / "src").mkdir(exist_ok=True)
            (path.parent / "src" / file.replace("_py", ".py")).write_text(text)
        self.run("job", "create", "-f", str(path))

    def ends(self, name: str, status: str) -> dict[str, Any]:
        """The job, once it has ended, which it must have so. Raises ToldSo."""
        job = self.until(lambda: found if (found := self.job(name))["status"] in ENDED else None)
        dies = any(point.startswith("supervisor:") for point in self.points)
        told = ("SupervisorLost", "its supervisor was killed")  # a pipeline says what became of its step
        if dies and job["status"] == "Failed" and any(words in str(job["error"]) for words in told):
            raise ToldSo
        assert job["status"] == status, (name, job["status"], job["error"])
        return job

    def job(self, name: str) -> dict[str, Any]:
        return self.call("GET", f"/jobs/{name}")

    def log(self, name: str, file: str = "user_logs/std_log.txt") -> str:
        return insisting(lambda: self.one.log(name, file))

    def says(self, name: str, text: str) -> None:
        """Wait until the job has written it. Raises ToldSo."""
        self.until(lambda: text in self.log(name) or self.job(name)["status"] in ENDED)
        if text not in self.log(name):
            self.ends(name, "still writing")

    def _heal(self) -> None:
        while not self._stop.wait(0.05):
            with contextlib.suppress(AssertionError):
                self.deaths += self.one.heal()


def lived(one: Embedded, life: Callable[[Trial], None], *points: str) -> tuple[list[str], list[str]]:
    """Go through a life in which processes die at `points`: the points it came by (where none die), and those of the
    given that it did not. Raises AssertionError for what it did not survive."""
    one.environ.setdefault("MAYFLY_CHECKPOINT_S", "0.3")
    one.environ |= images.storage(one.place)
    with Trial(one, points, begun=isinstance(one, Pair)) as trial:
        with contextlib.suppress(ToldSo):
            life(trial)
        trial.healed()
        found = trial.passed(), trial.missed()
    one.finish()
    return found


def insisting(call: Callable[[], Any]) -> Any:
    """What it answers, once a server is there to answer."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except (httpx.TransportError, KeyError, FileNotFoundError):
            if time.monotonic() > end:
                raise
        except AssertionError as error:
            if ": 503 " not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.05)
