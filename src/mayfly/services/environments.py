"""Environments in the server: understood at submit, resolved once for each definition, kept by hash."""

from __future__ import annotations

import hashlib
import platform
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mayfly.domain import environments as rules
from mayfly.domain.interpreters import choose_interpreter
from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import Rejected, step
from mayfly.kit.errors import MayflyError, Unavailable
from mayfly.ports.resolver import Interpreter
from mayfly.services.world import World
from mayfly.store import environments, jobs
from mayfly.store.environments import EnvironmentRow
from mayfly.store.unit import Unit
from mayfly.wire.agent import EnvironmentPlan

LOG_FILE = "azureml-logs/20_environment_resolve_log.txt"
"""Where the resolver's own lines go, in the log of every job that waits for them."""

_WAITING = (JobState.QUEUED, JobState.PROVISIONING, JobState.PREPARING)


@dataclass(frozen=True, slots=True)
class Wish:
    digest: str
    name: str
    definition: dict[str, Any]
    plan: EnvironmentPlan | None
    """Already known when no package is asked for."""
    notes: tuple[str, ...]

    @property
    def tracks(self) -> bool:
        """Whether its packages let a job track."""
        return any(requirement.lower().startswith("mlflow") for requirement in self.definition["requirements"])

    def keep(self, unit: Unit, world: World) -> None:
        """Write the wish where `resolve_next` finds it."""
        environments.want(unit, self.digest, self.definition, world.clock.now())
        if self.plan is not None:
            environments.ready(unit, self.digest, self.plan)


def wish(world: World, environment: str | Mapping[str, Any]) -> Wish:
    """Understand a job's environment and choose its interpreter. Raises Invalid with a pointer below /environment."""
    definition = rules.understand(environment)
    choice = choose_interpreter(definition.python, definition.python_asked, world.resolver.interpreters())
    python = choice.interpreter
    notes = (*definition.notes, choice.note) if choice.note else definition.notes
    became = f"Python {python.version}"
    kept = {
        "name": definition.name,
        "requirements": list(definition.requirements),
        "python": python.path,
        "python_version": python.version,
        "note": "; ".join((became, *notes)),
    }
    text = "\x00".join((rules.wish_digest(definition), python.path, python.version, platform.machine()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    plan = None
    if not definition.requirements:
        plan = EnvironmentPlan(
            digest="", name=definition.name, python=python.path, python_version=python.version, note=kept["note"]
        )
    return Wish(digest, definition.name, kept, plan, notes)


def resolve(
    world: World,
    row: EnvironmentRow,
    say_to_jobs: Callable[[str], None],
    cancelled: threading.Event | None = None,
) -> None:
    """Turn a wanted environment into a plan, or into a failure that every waiting job ends with. May be repeated.
    Given up because `cancelled` was set, it stays wanted; that is raised as Unavailable."""
    kept = row.definition
    python = Interpreter(kept["python"], kept["python_version"])
    try:
        lock = world.resolver.resolve(kept["requirements"], python, say_to_jobs, cancelled)
    except Unavailable:
        raise
    except MayflyError as error:
        _fail(world, row, Cause(error.code, error.message, error.remedy))
        return
    plan = EnvironmentPlan(
        digest=rules.plan_digest(python.version, lock, {}),
        name=kept["name"],
        python=python.path,
        python_version=python.version,
        lock=lock,
        note=kept["note"],
    )

    def keep(unit: Unit) -> None:
        environments.ready(unit, row.digest, plan)
        unit.passing("environment resolved")
        unit.wake("nodes", "scheduling")

    world.store.write(keep)


def _fail(world: World, row: EnvironmentRow, cause: Cause) -> None:
    now = world.clock.now()

    def keep(unit: Unit) -> None:
        environments.failed(unit, row.digest, cause)
        for waiting in jobs.waiting_for(unit.connection, row.digest, _WAITING):
            job = jobs.lock(unit, waiting.job.id)
            if job is not None:
                jobs.change(unit, job, step(job.job, Rejected(cause), now), now, "EnvironmentFailed")
        unit.passing("environment resolved")
        unit.wake("nodes", "scheduling", "fleet")

    world.store.write(keep)


class ResolveLog:
    """Copies the resolver's lines into the log of each job that waits for this environment, also of those that come
    while it runs."""

    def __init__(self, world: World, digest: str) -> None:
        self._world = world
        self._digest = digest
        self._text = b""
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        with self._lock:
            self._text += line.rstrip("\n").encode() + b"\n"
            waiting = self._world.store.read(lambda c: jobs.waiting_for(c, self._digest, _WAITING))
            for row in waiting:
                self._world.logs.append(row.job.id, 1, 0, LOG_FILE, 0, self._text)
        self._world.wakeups.wake({f"log:{row.job.id}" for row in waiting})
