"""The queue as the scheduler sees it: one grouped, indexed count, and the heads of each class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Integer, Select, bindparam, delete, func, select, union_all

from mayfly.domain.compute import Amount, Fleet, InstanceType
from mayfly.domain.job import JobState, Phase
from mayfly.domain.queue import ClassKey, Explanation, Head, JobClass, RunningGroup, Snapshot
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, NodeId
from mayfly.store import builds, codec, dialect, ledgers
from mayfly.store.statements import Statement
from mayfly.store.tables import QUEUED, attempts, capacity, class_waits, gpus, jobs, nodes
from mayfly.store.tables import ledgers as ledger_rows
from mayfly.store.unit import Store, Unit

HEADS = 32
"""How many jobs of a class one pass may start."""


_QUESTION = select(class_waits).where(class_waits.c.class_key == bindparam("of"))
_WAIT, _HELD_WAIT = Statement(_QUESTION), Statement(_QUESTION, locks=True)
_EVERY_WAIT = Statement(select(class_waits))
_WAITS = select(class_waits).where(class_waits.c.class_key.in_(bindparam("of", expanding=True)))
WAITS = (class_waits,)
"""The tables that `waits` reads."""
ROOM = (ledger_rows, capacity, gpus, nodes)
"""The tables that `room` reads."""


def snapshot(
    connection: Connection, fleet: Fleet, catalogue: dict[str, InstanceType], *, counted: bool = True
) -> Snapshot:
    """Not `counted`: of a class with more jobs than its heads it only says that there are more, so that a look takes as long as there
    are classes, not jobs; where nobody waits it says nothing else."""
    classes = _merged([*_classes(connection, counted), *builds.waiting(connection)])
    if not (classes or counted):
        return Snapshot(fleet, catalogue, (), {}, Amount(), {})
    running, recent = _running(connection)
    return replace(room(connection, fleet, catalogue), classes=tuple(classes), running=running, recent=recent)


def room(connection: Connection, fleet: Fleet, catalogue: dict[str, InstanceType]) -> Snapshot:
    """Limits, the fleet and what is held, without who waits and who runs: enough to say whether a job has a place."""
    return Snapshot(
        fleet=fleet,
        catalogue=catalogue,
        classes=(),
        quotas=ledgers.quotas(connection),
        capacity_held=ledgers.capacity_held(connection, fleet.provider),
        warm=_warm(connection),
    )


def _classes(connection: Connection, counted: bool) -> list[JobClass]:
    unmade = builds.unmade(connection)
    ready = [jobs.c.environment.not_in(unmade)] if unmade else []
    if counted:
        numbers = select(jobs.c.class_key, func.count()).where(QUEUED, *ready).group_by(jobs.c.class_key)
        found = [(text, count) for text, count in connection.execute(numbers)]
    else:
        found = [(row.key, None) for row in _KEYS.all(connection)]
    classes = []
    for text, count in found:
        heads = _HEADS.all(connection, {"of": text}) if not unmade else _made(connection, text, unmade)
        if not heads:
            continue
        shown = tuple(Head(JobId(row.id), row.sequence, Millis(row.created_at)) for row in heads[:HEADS])
        waiting = len(heads) if count is None else count
        classes.append(JobClass(codec.class_of(text), codec.request_of(heads[0].request), waiting, shown))
    return classes


def _keys() -> Select[Any]:
    """The classes that wait, each found by one step from the one before it."""
    first = select(func.min(jobs.c.class_key).label("key")).where(QUEUED).cte("classes", recursive=True)
    later = select(func.min(jobs.c.class_key)).where(QUEUED, jobs.c.class_key > first.c.key).scalar_subquery()
    every = first.union_all(select(later).where(first.c.key.is_not(None)))
    return select(every.c.key).where(every.c.key.is_not(None))


_KEYS = Statement(_keys())
_OF_CLASS = (
    select(jobs.c.id, jobs.c.sequence, jobs.c.created_at, jobs.c.request)
    .where(jobs.c.state == JobState.QUEUED.value, jobs.c.class_key == bindparam("of"))
    .order_by(jobs.c.sequence)
    .limit(HEADS + 1)
)
"""The heads of a class, and one more where there is one."""
_HEADS = Statement(_OF_CLASS)
_MADE = _OF_CLASS.where(jobs.c.environment.not_in(bindparam("unmade", expanding=True)))


def _made(connection: Connection, text: str, unmade: Sequence[str]) -> Sequence[Any]:
    """As `_HEADS`, of those whose environments need not be built first."""
    return connection.execute(_MADE, {"of": text, "unmade": unmade}).all()


def _merged(classes: list[JobClass]) -> list[JobClass]:
    """A build and the jobs that ask for the same wait in one class."""
    found: dict[ClassKey, JobClass] = {}
    for one in classes:
        same = found.get(one.key)
        if same is not None:
            heads = tuple(sorted((*same.heads, *one.heads), key=lambda head: head.sequence))
            one = replace(same, waiting=same.waiting + one.waiting, heads=heads)
        found[one.key] = one
    return list(found.values())


_LIVE = Statement(
    select(attempts.c.placement, jobs.c.submitter, func.count().label("many"))
    .join(jobs, jobs.c.id == attempts.c.job)
    .where(attempts.c.state == "live")
    .group_by(attempts.c.placement, jobs.c.submitter)
)
_WARM = Statement(
    select(nodes.c.id, nodes.c.instance_type)
    .where(nodes.c.state == "ready", nodes.c.idle_since.is_not(None))
    .order_by(nodes.c.idle_since.desc())
)


def _running(connection: Connection) -> tuple[tuple[RunningGroup, ...], dict[str, float]]:
    groups: dict[tuple[str, str], tuple[Amount, int]] = {}
    recent: dict[str, float] = defaultdict(float)
    held = [(row.submitter, codec.placement_of(row.placement), row.many) for row in _LIVE.all(connection)]
    held += [(row.owner.submitter, row.placement, 1) for row in builds.held(connection) if row.owner and row.placement]
    for submitter, placement, many in held:
        key = (submitter, placement.instance_type.name)
        amount, count = groups.get(key, (Amount(), 0))
        one = placement.capacity
        every = Amount(one.cores * many, one.memory_mib * many, one.gpus)
        groups[key] = (amount.plus(every), count + many)
        recent[submitter] += one.cores * many
    running = tuple(RunningGroup(who, size, amount, count) for (who, size), (amount, count) in sorted(groups.items()))
    return running, dict(recent)


def _warm(connection: Connection) -> dict[str, tuple[NodeId, ...]]:
    found: dict[str, list[NodeId]] = defaultdict(list)
    for row in _WARM.all(connection):
        found[row.instance_type].append(NodeId(row.id))
    return {size: tuple(ids) for size, ids in found.items()}


def waits(connection: Connection) -> dict[ClassKey, tuple[Explanation, Millis]]:
    rows = _EVERY_WAIT.all(connection)
    return {codec.class_of(row.class_key): (codec.explanation_of(row.explanation), Millis(row.since)) for row in rows}


def wait_of(connection: Connection, class_key: str) -> tuple[Explanation, Millis] | None:
    row = _WAIT.one(connection, {"of": class_key})
    return None if row is None else (codec.explanation_of(row.explanation), Millis(row.since))


def sentences(connection: Connection, class_keys: set[str]) -> dict[str, str]:
    """Why these classes wait, in words."""
    rows = connection.execute(_WAITS, {"of": sorted(class_keys)}) if class_keys else ()
    return {row.class_key: codec.sentence_of(row.explanation) for row in rows}


def sentence(store: Store, class_key: str) -> str:
    """Why a class waits, in words; '' where it does not."""
    look = store.recall(("sentence", class_key), (class_waits,), lambda c: sentences(c, {class_key}))
    return look.get(class_key, "")


def keep_wait(unit: Unit, key: ClassKey, explanation: Explanation, now: Millis) -> None:
    row = {"class_key": codec.class_text(key), "explanation": codec.explanation_text(explanation), "since": now}
    dialect.insert_or_replace(unit.connection, class_waits, row, ["class_key"])


def joined(unit: Unit, class_key: str) -> Explanation | None:
    """Why a job that is added to its class waits as those before it do, so that the scheduler has nothing to look at. It stays
    so until the unit ends. None: the scheduler must be woken."""
    row = unit.recall(
        ("wait", class_key),
        (class_waits,),
        lambda c: _HELD_WAIT.one(c, {"of": class_key}),
    )
    return None if row is None else codec.explanation_of(row.explanation)


def forget_wait(unit: Unit, key: ClassKey) -> None:
    """It waits no longer. The scheduler is woken for those who joined since it looked."""
    text = codec.class_text(key)
    unit.connection.execute(delete(class_waits).where(class_waits.c.class_key == text))
    queued = select(jobs.c.id).where(jobs.c.state == JobState.QUEUED.value, jobs.c.class_key == text)
    if unit.connection.execute(queued.limit(1)).first() is not None:
        unit.wake("scheduling")


def behind_builds(connection: Connection, phase: str, most: int = 500) -> list[JobId]:
    """Ids of the jobs that wait for an image to be built and whose phase is another."""
    unmade = builds.unmade(connection)
    if not unmade:
        return []
    rows = connection.scalars(
        select(jobs.c.id)
        .where(jobs.c.state == JobState.QUEUED.value, jobs.c.environment.in_(unmade), jobs.c.phase != phase)
        .order_by(jobs.c.sequence)
        .limit(most)
    )
    return [JobId(one) for one in rows]


def not_in_phase(connection: Connection, key: ClassKey, phase: str, most: int = 500) -> list[JobId]:
    """Ids of the waiting jobs of a class whose phase is another."""
    unmade = builds.unmade(connection)
    given = {"of": codec.class_text(key), "most": most}
    if unmade:
        found = connection.execute(_elsewhere(phase, made=True), {**given, "unmade": unmade}).all()
    else:
        found = _anywhere_else(phase).all(connection, given)
    return [JobId(one.id) for one in found]


@lru_cache(maxsize=16)
def _elsewhere(phase: str, *, made: bool) -> CompoundSelect[Any]:
    """Of each other phase by itself, which the index finds at once, however many are in this one."""
    ready = [jobs.c.environment.not_in(bindparam("unmade", expanding=True))] if made else []
    of_class = select(jobs.c.id).where(QUEUED, jobs.c.class_key == bindparam("of"), *ready)
    return union_all(*(of_class.where(jobs.c.phase == one.value) for one in Phase if one.value != phase)).limit(
        bindparam("most", type_=Integer)
    )


@lru_cache(maxsize=16)
def _anywhere_else(phase: str) -> Statement:
    return Statement(_elsewhere(phase, made=False))
