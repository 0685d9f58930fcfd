"""Environments in the server: understood at submit, resolved once for each definition, kept by hash."""

from __future__ import annotations

import hashlib
import platform
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mayfly.domain import environments as rules
from mayfly.domain.interpreters import choose_interpreter
from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import Rejected, step
from mayfly.kit.errors import Invalid, MayflyError, Unavailable
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

    kind: str = "packages"

    @property
    def tracks(self) -> bool:
        """Whether its packages let a job track."""
        return any(requirement.lower().startswith("mlflow") for requirement in self.definition["requirements"])

    def keep(self, unit: Unit, world: World, asked: bool = False) -> None:
        """Write the wish where the engine finds it. `asked`: a person wants it for itself, after a failure too. Raises
        Invalid `EnvironmentFailedBefore`."""
        row = environments.want(unit, self.digest, self.definition, world.clock.now(), self.kind, asked)
        refuse_failed(row)
        if self.plan is not None:
            environments.ready(unit, self.digest, self.plan)


def refuse_failed(row: EnvironmentRow | None) -> None:
    """Raises Invalid `EnvironmentFailedBefore` for one that could not be made and that only a person tries again."""
    if row is None or row.state != "failed" or row.error is None or rules.passes(row.error.code):
        return
    raise Invalid(
        "EnvironmentFailedBefore",
        f"The environment {row.definition['name']} could not be made at an earlier try ({row.error.code}). "
        f"{row.error.message}",
        pointer=rules.POINTER,
        remedy=f"Change its definition, or try again with `mayfly environment build {row.digest[:12]}`.",
    )


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
    say: Callable[[str], None],
    cancelled: threading.Event | None = None,
    holder: str | None = None,
) -> None:
    """Turn a wanted environment into a plan, or into a failure that every waiting job ends with. May be repeated.
    Given up because `cancelled` was set, it stays wanted; that is raised as Unavailable. Nothing is written once the
    lease of `holder` is another's."""
    kept = row.definition
    python = Interpreter(kept["python"], kept["python_version"])
    try:
        lock = world.resolver.resolve(kept["requirements"], python, say, cancelled)
    except Unavailable:
        raise
    except MayflyError as error:
        _fail(world, row, Cause(error.code, error.message, error.remedy), holder)
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
        environments.ready(unit, row.digest, plan, holder)
        unit.passing("environment resolved")
        unit.wake("nodes", "scheduling")

    world.store.write(keep)


def _fail(world: World, row: EnvironmentRow, cause: Cause, holder: str | None) -> None:
    now = world.clock.now()

    def keep(unit: Unit) -> None:
        if not environments.failed(unit, row.digest, cause, holder):
            return
        for waiting in jobs.waiting_for(unit.connection, row.digest, _WAITING):
            job = jobs.lock(unit, waiting.job.id)
            if job is not None:
                jobs.change(unit, job, step(job.job, Rejected(cause), now), now, "EnvironmentFailed")
        unit.passing("environment resolved")
        unit.wake("nodes", "scheduling", "fleet")

    world.store.write(keep)


def still_wanted(world: World, digest: str) -> bool:
    """Whether a job waits for it or a person asked for it."""

    def look(connection: Connection) -> bool:
        row = environments.get(connection, digest)
        return row is not None and _wanted(connection, row)

    return world.store.read(look)


def drop_unwanted(world: World, digest: str) -> None:
    """Forget the wish, unless somebody has come meanwhile."""

    def keep(unit: Unit) -> None:
        row = environments.lock(unit, digest)
        if row is not None and row.state == "wanted" and not _wanted(unit.connection, row):
            environments.drop(unit, digest)

    world.store.write(keep)


def _wanted(connection: Connection, row: EnvironmentRow) -> bool:
    return row.asked or jobs.any_waiting_for(connection, row.digest, _WAITING)


class ResolveLog:
    """Copies the resolver's lines into the environment's own log and into that of each job that waits for it, also of
    those that come while it runs."""

    def __init__(self, world: World, digest: str, tries: int = 1) -> None:
        self._world = world
        self._digest = digest
        self._tries = tries
        self._text = b""
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        with self._lock:
            self._text += line.rstrip("\n").encode() + b"\n"
            waiting = self._world.store.read(lambda c: jobs.waiting_for(c, self._digest, _WAITING))
            for job in (log_of(self._digest), *(row.job.id for row in waiting)):
                attempt = 1 if job.startswith("job") else self._tries
                self._world.logs.append(job, attempt, 0, LOG_FILE, 0, self._text)
        self._world.wakeups.wake({f"log:{row.job.id}" for row in waiting})


def log_of(digest: str) -> str:
    """Where an environment's own log lies in the log store, with its try as the attempt."""
    return f"environment-{digest[:40]}"
