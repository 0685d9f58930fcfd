"""Image builds as the scheduler sees them: work of their own, which waits for its turn and holds quota and capacity under
a name in the ledgers, beside the jobs' attempts."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from mayfly.domain.compute import Placement, ResourceRequest
from mayfly.domain.job import TERMINAL
from mayfly.domain.queue import ClassKey, Head, JobClass
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId
from mayfly.store import codec, ledgers
from mayfly.store.environments import EnvironmentRow, lock
from mayfly.store.environments import get as environment
from mayfly.store.ledgers import Take
from mayfly.store.statements import Statement
from mayfly.store.tables import environments, jobs
from mayfly.store.unit import Unit

REQUEST = ResourceRequest()
"""One node of whatever size is best."""
_PREFIX = "build-"
_LETTERS = 34
_ENDED = tuple(sorted(state.value for state in TERMINAL))
_WAITS = (environments.c.kind == "build", environments.c.state == "wanted")
_UNMADE = Statement(select(environments.c.digest).where(*_WAITS))
_WAITING = Statement(
    select(environments.c.digest, environments.c.asked, environments.c.created_at, environments.c.owner)
    .where(*_WAITS, environments.c.placement.is_(None), environments.c.owner.is_not(None))
    .order_by(environments.c.created_at)
)
_HELD = Statement(select(environments.c.digest).where(environments.c.placement.is_not(None)))


def unmade(connection: Connection) -> list[str]:
    """The environments whose jobs stay in the queue until they are made."""
    return [row.digest for row in _UNMADE.all(connection)]


def waiting(connection: Connection) -> list[JobClass]:
    """Builds that somebody wants and that hold nothing yet, each a class of its own. Its place in the queue is that of
    the first job that waits for it."""
    found = []
    for row in _WAITING.all(connection):
        first = connection.scalar(
            select(func.min(jobs.c.sequence)).where(jobs.c.environment == row.digest, jobs.c.state.not_in(_ENDED))
        )
        if first is None and not row.asked:
            continue
        known = environment(connection, row.digest)
        assert known is not None
        head = Head(name(row.digest), first or 0, Millis(row.created_at))
        found.append(JobClass(key(known), REQUEST, 1, (head,)))
    return found


def key(row: EnvironmentRow) -> ClassKey:
    owner = row.owner
    assert owner is not None
    return ClassKey(owner.workspace, owner.subscription, owner.submitter, owner.priority, codec.request_json(REQUEST))


def name(digest: str) -> JobId:
    """What it is called in the ledgers."""
    return JobId(_PREFIX + digest[:_LETTERS])


def is_build(job: JobId) -> bool:
    return job.startswith(_PREFIX)


def take(unit: Unit, job: JobId, provider: str, placement: Placement) -> bool:
    """Hold what the placement needs; False when it waits no longer. Raises `ledgers.Overdrawn`."""
    like = job.removeprefix(_PREFIX)
    digest = unit.connection.scalar(select(environments.c.digest).where(environments.c.digest.startswith(like)))
    row = lock(unit, digest) if digest else None
    if row is None or row.state != "wanted" or row.placement is not None:
        return False
    ledgers.take(unit, provider, [Take(job, 0, placement)])
    unit.connection.execute(
        update(environments)
        .where(environments.c.digest == row.digest)
        .values(placement=codec.placement_text(placement))
    )
    return True


def give_back(unit: Unit, digest: str) -> None:
    """In the unit in which it is made, has failed or is given up. Repeating it changes nothing."""
    if ledgers.give_back(unit, name(digest), 0):
        unit.connection.execute(update(environments).where(environments.c.digest == digest).values(placement=None))
        unit.wake("scheduling")


def held(connection: Connection) -> list[EnvironmentRow]:
    found = [environment(connection, row.digest) for row in _HELD.all(connection)]
    return [row for row in found if row is not None]
