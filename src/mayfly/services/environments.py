"""Environments in the server: understood at submit, resolved once for each definition, kept by hash."""

from __future__ import annotations

import hashlib
import platform
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from mayfly.domain import environments as rules
from mayfly.domain.interpreters import choose_interpreter
from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import Rejected, step
from mayfly.kit.errors import Invalid, MayflyError, NotFound, Unavailable
from mayfly.ports.resolver import Interpreter
from mayfly.services import containers, places, registered
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import builds, codec, environments, jobs
from mayfly.store.environments import EnvironmentRow, Owner
from mayfly.store.unit import Unit
from mayfly.wire import mayfly as wire
from mayfly.wire.agent import EnvironmentPlan

LOG_FILE = "azureml-logs/20_environment_resolve_log.txt"
"""Where the resolver's own lines go, in the log of every job that waits for them."""

CONTEXT = "/environment/build/path"
"""What was sent for a build, in a submission's uploads."""

WAITING = (JobState.QUEUED, JobState.PROVISIONING, JobState.PREPARING)
"""The states of jobs that wait for their environment, or may have to."""


@dataclass(frozen=True, slots=True)
class Wish:
    digest: str
    name: str
    definition: dict[str, Any]
    plan: EnvironmentPlan | None
    """Already known when no package is asked for."""
    notes: tuple[str, ...]

    kind: str = "packages"
    owner: Owner | None = None
    """Whose quota a build holds."""

    @property
    def tracks(self) -> bool:
        """Whether its packages let a job track."""
        return any(requirement.lower().startswith("mlflow") for requirement in self.definition["requirements"])

    def keep(self, unit: Unit, world: World, asked: bool = False) -> bool:
        """Write the wish where the engine finds it, and wake it; False when there was nothing to write. `asked`: a person
        wants it for itself, after a failure too. Raises Invalid `EnvironmentFailedBefore`."""
        now = world.clock.now()
        if not asked and environments.in_use(unit, self.digest, self.plan, now):
            return False
        unit.wake("environments")
        row = environments.want(unit, self.digest, self.definition, now, self.kind, asked, self.owner)
        refuse_failed(row)
        if self.plan is not None:
            environments.ready(unit, self.digest, self.plan)
        return True


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


def wish(world: World, environment: str | Mapping[str, Any], place: Place) -> Wish:
    """Understand a job's environment, registered ones looked up first, and choose its interpreter. Raises Invalid with
    a pointer below /environment."""
    meant = registered.meant(world, place, environment)
    chosen = containers.choose(world, meant.definition, meant.name)
    if chosen is not None:
        return Wish(chosen.digest, chosen.kept["name"], chosen.kept, chosen.plan, chosen.notes, chosen.kind)
    return _of_packages(codec.dump(meant.definition), meant.name, tuple(world.resolver.interpreters()))


@lru_cache(maxsize=256)
def _of_packages(text: str, name: str | None, interpreters: tuple[Interpreter, ...]) -> Wish:
    """Of a definition, as JSON, that stands for a Python and packages. Remembered, because many jobs have the same."""
    definition = rules.understand(codec.load(text))
    if name is not None:
        definition = replace(definition, name=name)
    choice = choose_interpreter(definition.python, definition.python_asked, interpreters)
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


def build(world: World, who: str, place: Place, ask: wire.EnvironmentBuild) -> wire.BuildView:
    """Want it for itself: make it now, also after a failure. Durable when it returns. Raises as `wish`, NotFound
    `EnvironmentNotFound` for a hash that is not known."""
    if ask.digest:
        row = _known(world, ask.digest)
        wished = Wish(row.digest, row.definition["name"], row.definition, None, (), row.kind)
    else:
        wished = wish(world, rules.with_context(ask.environment, ask.uploads.get(CONTEXT)), place)
    workspace = places.create(world, place)[0]
    wished = replace(wished, owner=Owner(workspace.id, workspace.subscription, who))

    def keep(unit: Unit) -> None:
        wished.keep(unit, world, asked=True)
        unit.wake("scheduling")

    world.store.write(keep)
    return build_view(world, wished.digest, 0)


def build_view(world: World, digest: str, offset: int) -> wire.BuildView:
    """How far it is, and what was said after `offset`."""
    row = _known(world, digest)
    waits = world.store.read(lambda connection: containers.wait(connection, row))
    text = world.logs.read(log_of(row.digest), max(1, row.tries), 0, LOG_FILE, offset, 1 << 20)
    error = row.error
    return wire.BuildView(
        digest=row.digest,
        name=row.definition["name"],
        state=row.state,
        note=row.definition["note"],
        packages=_packages(row),
        error=None if error is None else wire.ProblemView(code=error.code, message=error.message, remedy=error.remedy),
        text=text.decode("utf-8", "replace"),
        next=offset + len(text),
        waits=waits or "",
    )


def _packages(row: EnvironmentRow) -> list[str]:
    lock = row.plan.lock if row.plan is not None else None
    return [] if not lock else [line.split(" ")[0] for line in lock.splitlines() if line[:1].strip() and "==" in line]


def _known(world: World, digest: str) -> EnvironmentRow:
    found = world.store.read(lambda connection: environments.beginning_with(connection, digest.lower()))
    if len(found) != 1 or len(digest) < 8:
        raise NotFound("EnvironmentNotFound", f"No environment has the hash {digest[:64]}.")
    return found[0]


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
    try:
        if row.kind == "packages":
            plan = _locked(world, row, say, cancelled)
        else:
            plan = containers.make(world, row.digest, row.definition, say, cancelled)
    except Unavailable:
        raise
    except MayflyError as error:
        _fail(world, row, Cause(error.code, error.message, error.remedy), holder)
        return

    def keep(unit: Unit) -> None:
        if environments.ready(unit, row.digest, plan, holder):
            builds.give_back(unit, row.digest)
        unit.passing("environment resolved")
        unit.wake("nodes", "scheduling")

    world.store.write(keep)


def _locked(
    world: World, row: EnvironmentRow, say: Callable[[str], None], cancelled: threading.Event | None
) -> EnvironmentPlan:
    kept = row.definition
    python = Interpreter(kept["python"], kept["python_version"])
    lock = world.resolver.resolve(kept["requirements"], python, say, cancelled, fresh=row.plan is not None)
    return EnvironmentPlan(
        digest=rules.plan_digest(python.version, lock, {}),
        name=kept["name"],
        python=python.path,
        python_version=python.version,
        lock=lock,
        note=kept["note"],
    )


def _fail(world: World, row: EnvironmentRow, cause: Cause, holder: str | None) -> None:
    now = world.clock.now()

    def keep(unit: Unit) -> None:
        if not environments.failed(unit, row.digest, cause, holder):
            return
        builds.give_back(unit, row.digest)
        for waiting in jobs.waiting_for(unit.connection, row.digest, WAITING):
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
            builds.give_back(unit, digest)

    world.store.write(keep)


def _wanted(connection: Connection, row: EnvironmentRow) -> bool:
    return row.asked or jobs.any_waiting_for(connection, row.digest, WAITING)


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
            waiting = self._world.store.read(lambda c: jobs.waiting_for(c, self._digest, WAITING))
            for job in (log_of(self._digest), *(row.job.id for row in waiting)):
                attempt = 1 if job.startswith("job") else self._tries
                self._world.logs.append(job, attempt, 0, LOG_FILE, 0, self._text)
        self._world.wakeups.wake({f"log:{row.job.id}" for row in waiting})


def log_of(digest: str) -> str:
    """Where an environment's own log lies in the log store, with its try as the attempt."""
    return f"environment-{digest[:40]}"
