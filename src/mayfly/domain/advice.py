"""The smallest change that would start a waiting job now, or why none of the stated ones would.

The stated set, the smallest first: fewer nodes, another size, another tier, a raise of one quota row. Every change is tried
on a copy of the snapshot with the scheduler's own `plan`, so advice is never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mayfly.domain.catalogue import find
from mayfly.domain.compute import InstanceType, LedgerKey, Placement, Quota, ResourceRequest, Tier
from mayfly.domain.placement import Room, judgements, place
from mayfly.domain.queue import JobClass, Snapshot
from mayfly.domain.quota import LedgerLine, Owner, quota_of, raise_command, row_name
from mayfly.domain.schedule import owner_of, plan
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid


@dataclass(frozen=True, slots=True)
class Advice:
    """`change` is 'node_count', 'instance_type', 'job_tier', 'quota', or 'none'."""

    change: str
    sentence: str
    set: Mapping[str, object] = field(default_factory=dict)
    """As `--set` would take it; empty for a quota raise and for none."""
    request: ResourceRequest | None = None
    """The request after the change, None where the request stays."""
    quota: tuple[LedgerKey, int] | None = None
    """The row to change and its new limit."""


def advise(one: JobClass, snapshot: Snapshot, now: Millis) -> Advice:
    """For the head of a waiting class of the snapshot. Pure, and honest: `apply`ing the advice to the snapshot and
    planning again starts the head; `none` says why nothing in the stated set would."""
    if not one.heads:
        return Advice("none", "No job of this kind waits.")
    if _starts(one, snapshot, now):
        return Advice("none", "None is needed, because it starts now.")
    for advice in _changes(one, snapshot):
        if _starts(*apply(advice, one, snapshot), now):
            return advice
    return Advice("none", f"None, because {_because(one, snapshot)}")


def apply(advice: Advice, one: JobClass, snapshot: Snapshot) -> tuple[JobClass, Snapshot]:
    """The head of the class after the change, as a class of its own, and a copy of the snapshot in which it stands."""
    if advice.quota is not None:
        key, limit = advice.quota
        kept = quota_of(key, snapshot.quotas, snapshot.fleet)
        quotas = {**snapshot.quotas, key: Quota(limit, kept.held if kept is not None else 0)}
        return one, replace(snapshot, quotas=quotas)
    if advice.request is None:
        return one, snapshot
    return _changed(one, advice.request, snapshot)


def _changed(one: JobClass, request: ResourceRequest, snapshot: Snapshot) -> tuple[JobClass, Snapshot]:
    changed = JobClass(replace(one.key, request=f"{one.key.request}, changed"), request, 1, one.heads[:1])
    rest = replace(one, waiting=one.waiting - 1, heads=one.heads[1:])
    others = tuple(c for c in snapshot.classes if c.key != one.key)
    classes = (*others, changed, rest) if rest.heads else (*others, changed)
    return changed, replace(snapshot, classes=classes)


def _starts(one: JobClass, snapshot: Snapshot, now: Millis) -> bool:
    return any(start.job == one.heads[0].job for start in plan(snapshot, now).starts)


def _changes(one: JobClass, snapshot: Snapshot) -> Iterator[Advice]:
    """Every change of the stated set after which the request alone would fit, the smallest first."""
    owner = owner_of(one.key)
    yield from _fewer_nodes(one.request, owner, snapshot)
    yield from _other_sizes(one.request, owner, snapshot)
    yield from _other_tier(one.request, owner, snapshot)
    yield from _quota_raises(one.request, owner, snapshot)


def _fits(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> bool:
    return isinstance(place(request, owner, snapshot), Placement)


def _fewer_nodes(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> Iterator[Advice]:
    for count in range(request.node_count - 1, 0, -1):
        fewer = replace(request, node_count=count)
        if _fits(fewer, owner, snapshot):
            yield Advice(
                "node_count",
                f"It would start now with {count} node{'s' if count > 1 else ''} instead of {request.node_count}: "
                f"--set resources.instance_count={count}.",
                {"resources.instance_count": count},
                fewer,
            )


def _other_sizes(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> Iterator[Advice]:
    """The nearest in vCPUs first, the fleet's own before emulated ones; no GPU size for a CPU job, nor the reverse, but
    for own sizes, which can rehearse anything."""
    asked = _asked(request, snapshot)
    cores = asked.vcpus if asked is not None else 0
    own = {size.name for size in snapshot.fleet.own_sizes}
    others = [*snapshot.fleet.own_sizes, *(s for s in snapshot.catalogue.values() if not s.retired)]
    usable = [s for s in others if s.name in own or asked is None or bool(s.gpus) == bool(asked.gpus)]
    for size in sorted(usable, key=lambda s: (s.name not in own, abs(s.vcpus - cores), -s.speed, s.name)):
        if asked is not None and size.name == asked.name:
            continue
        other = replace(request, instance_type=size.name)
        if _fits(other, owner, snapshot):
            yield Advice(
                "instance_type",
                f"It would start now on {size.name}: --set resources.instance_type={size.name}.",
                {"resources.instance_type": size.name},
                other,
            )


def _asked(request: ResourceRequest, snapshot: Snapshot) -> InstanceType | None:
    if request.instance_type is None:
        return None
    try:
        return find(request.instance_type, snapshot.fleet.own_sizes, snapshot.catalogue)
    except Invalid:
        return None


def _other_tier(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> Iterator[Advice]:
    tier = Tier.STANDARD if request.tier is Tier.SPOT else Tier.SPOT
    other = replace(request, tier=tier)
    if _fits(other, owner, snapshot):
        risk = " (its nodes may be taken back at any time)" if tier is Tier.SPOT else ""
        yield Advice(
            "job_tier",
            f"It would start now on the {tier} tier{risk}: --set queue_settings.job_tier={tier}.",
            {"queue_settings.job_tier": str(tier)},
            other,
        )


def _quota_raises(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> Iterator[Advice]:
    """One row lifted just as far as needed, on the size that lacks least."""
    raises: dict[LedgerKey, int] = {}
    for lines in _ledgers(request, owner, snapshot):
        lacking = [line for line in lines if not line.fits_now]
        if len(lacking) == 1:
            key, limit = lacking[0].key, lacking[0].held + lacking[0].needed
            raises[key] = min(limit, raises.get(key, limit))
    for key, limit in sorted(raises.items(), key=lambda pair: (pair[1], pair[0])):
        kept = quota_of(key, snapshot.quotas, snapshot.fleet)
        raised = replace(snapshot, quotas={**snapshot.quotas, key: Quota(limit, kept.held if kept else 0)})
        if _fits(request, owner, raised):
            yield Advice(
                "quota",
                f"It would start now if the {row_name(key)} were {limit}: {raise_command(key, limit)}.",
                quota=(key, limit),
            )


def _ledgers(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> tuple[tuple[LedgerLine, ...], ...]:
    """The ledger lines of every size that the request could mean; none for an unknown name."""
    try:
        judged = judgements(request, owner, Room.of(snapshot))
    except Invalid:
        return ()
    return tuple(j.lines for j in judged)


def _because(one: JobClass, snapshot: Snapshot) -> str:
    found = place(one.request, owner_of(one.key), snapshot)
    if isinstance(found, Placement):
        return "other jobs are before it in the order, and what is left goes to them."
    if found.missing == "capacity":
        return f"the fleet's machines are in use: {found.sentence}"
    return f"no single change of size, count, tier or quota makes room: {found.sentence}"
