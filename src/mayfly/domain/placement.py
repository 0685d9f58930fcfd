"""Where one gang would go: every size looked at, the first predicate that refused it, the score of those that passed.

A size that the job names is taken or not. Otherwise Mayfly chooses among the sizes the fleet really gives, and only among
those that fit *now* as long as one does, so that no job waits while quota and capacity are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mayfly.domain.catalogue import find
from mayfly.domain.compute import (
    Amount,
    Fleet,
    InstanceType,
    LedgerKey,
    Placement,
    Quota,
    ResourceRequest,
)
from mayfly.domain.fitting import amount_of, disk_of, is_emulated, is_own, largest_possible
from mayfly.domain.queue import Candidate, Explanation, Snapshot
from mayfly.domain.quota import (
    LedgerLine,
    Owner,
    largest_count,
    ledger_lines,
    needed_rows,
    quota_of,
    row_name,
)
from mayfly.domain.score import score, steady_factors
from mayfly.kit.errors import Invalid
from mayfly.kit.ids import NodeId

PERMANENT = (
    "InstanceTypeUnknown",
    "NotOfThisFleet",
    "GpuNotAskedFor",
    "NoQuotaForInstanceType",
    "JobNodeCountExceedsCoreQuota",
    "ExceedsFleet",
    "DiskTooSmall",
)
"""Predicates that no other job's end can change, in the order in which they are asked."""


@dataclass(slots=True)
class Room:
    """What is left while a plan is being made. `reserved` is kept for a head that has waited too long: nobody else may
    take it, but it is not held."""

    fleet: Fleet
    catalogue: Mapping[str, InstanceType]
    quotas: dict[LedgerKey, Quota]
    held: Amount
    warm: dict[str, tuple[NodeId, ...]]
    reserved: Amount = field(default_factory=Amount)
    reserved_rows: dict[LedgerKey, int] = field(default_factory=dict)
    asked: dict[tuple[ResourceRequest, Owner], tuple[Judgement | Terms, ...]] = field(default_factory=dict)
    """What no other job's end can change, worked out once for each kind of request."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Room:
        return cls(
            snapshot.fleet, snapshot.catalogue, dict(snapshot.quotas), snapshot.capacity_held, dict(snapshot.warm)
        )

    def quota(self, key: LedgerKey) -> Quota | None:
        """The row as it stands, None where nothing limits."""
        if (kept := self.quotas.get(key)) is None and (kept := quota_of(key, self.quotas, self.fleet)) is not None:
            self.quotas[key] = kept
        return kept

    def take(self, placement: Placement) -> None:
        """Hold what a placement holds: quota rows, capacity and warm nodes."""
        for key, vcpus in placement.quota.items():
            if (quota := self.quota(key)) is not None:
                self.quotas[key] = Quota(quota.limit, quota.held + vcpus)
        self.held = self.held.plus(placement.capacity)
        if placement.reuse:
            name = placement.instance_type.name
            self.warm[name] = self.warm[name][len(placement.reuse) :]

    def fits(self, need: Amount, *, reserved: bool) -> bool:
        held = self.held
        cores, memory, gpus = held.cores + need.cores, held.memory_mib + need.memory_mib, len(held.gpus | need.gpus)
        if reserved:
            cores, memory = cores + self.reserved.cores, memory + self.reserved.memory_mib
            gpus += len(self.reserved.gpus)
        total = self.fleet.total
        return (
            cores <= total.cores
            and memory <= total.memory_mib
            and gpus <= len(total.gpus)
            and not (need.gpus & held.gpus)
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """A size that nothing permanent refuses for a request, with what a placement on it would take."""

    size: InstanceType
    rows: Mapping[LedgerKey, int]
    need: Amount
    """Without GPUs, unless the gang is emulated and takes the whole fleet."""
    per_node: Amount
    emulated: bool
    steady: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One size, judged. `refused` is the first predicate that said no; it is None exactly when `placement` is there."""

    size: InstanceType
    refused: str | None = None
    reason: str | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    placement: Placement | None = None
    need: Amount = field(default_factory=Amount)
    rows: Mapping[LedgerKey, int] = field(default_factory=dict)
    lines: tuple[LedgerLine, ...] = ()
    largest: int | None = None
    """The largest node count that quota (A, B) or fleet (D) would ever allow, where that is why it was refused."""

    @property
    def permanent(self) -> bool:
        return self.refused in PERMANENT

    @property
    def score(self) -> float | None:
        return score(self.factors) if self.refused is None else None

    def candidate(self) -> Candidate:
        return Candidate(
            self.size.name, self.score, self.factors if self.refused is None else {}, self.refused, self.reason
        )


def _factors(terms: Terms, need: Amount, room: Room) -> Mapping[str, float]:
    cores = room.fleet.total.cores
    share = max(0, cores - room.held.cores - need.cores) / cores if cores else 0.0
    for key, needed in terms.rows.items():
        if (quota := room.quota(key)) is not None:
            share = min(share, max(0, quota.limit - quota.held - needed) / quota.limit if quota.limit else 0.0)
    return {"quota": round(share, 4), **terms.steady}


def _terms(request: ResourceRequest, owner: Owner, size: InstanceType, fleet: Fleet) -> Terms:
    """Real resources of the gang and of each of its nodes.

    An emulated gang takes the whole machine; its nodes share the cores and memory equally, and where there are more
    nodes than cores they share cores, one each in name. GPUs of a gang of several nodes stand in the gang's amount only
    (`rank_amounts` deals them out).
    """
    count, total = request.node_count, fleet.total
    rows, steady = needed_rows(request, owner, size), steady_factors(request, size, fleet)
    if is_emulated(size, count, fleet):
        gpus = total.gpus if count == 1 else frozenset[str]()
        each = Amount(max(1, total.cores // count), total.memory_mib // count, gpus)
        return Terms(size, rows, total, each, True, steady)
    one = amount_of(size)
    return Terms(size, rows, Amount(one.cores * count, one.memory_mib * count), one, False, steady)


def rank_amounts(placement: Placement) -> tuple[Amount, ...]:
    """Each rank's own resources: an equal share of cores and memory, and GPUs that no other rank has."""
    gpus, each = sorted(placement.capacity.gpus), len(placement.capacity.gpus) // placement.node_count
    one = placement.per_node
    return tuple(
        Amount(one.cores, one.memory_mib, frozenset(gpus[rank * each : (rank + 1) * each]))
        for rank in range(placement.node_count)
    )


def judge(request: ResourceRequest, owner: Owner, size: InstanceType, room: Room) -> Judgement:
    """Ask the predicates in order; score the size and place the gang on it when none refuses."""
    return _judge_now(request, owner, _judge_forever(request, owner, size, room), room)


def _judge_forever(request: ResourceRequest, owner: Owner, size: InstanceType, room: Room) -> Judgement | Terms:
    fleet, count = room.fleet, request.node_count
    if request.instance_type is None:
        if not is_own(size, fleet):
            said = "Not a size of this fleet; name it to have it emulated." if fleet.emulates else "Not of this fleet."
            return Judgement(size, "NotOfThisFleet", said)
        if size.gpus:
            return Judgement(size, "GpuNotAskedFor", "A size with GPUs is used only when it is named.")
    lines = ledger_lines(request, owner, size, room.quotas, fleet)
    allowed = largest_count(lines, size)
    if allowed is not None and allowed < count:
        return _over_limit(size, lines, allowed, count)
    if (most := largest_possible(size, fleet)) < count:
        return _over_fleet(size, fleet, lines, most, count)
    if request.disk_gib is not None and request.disk_gib > (disk := disk_of(size, count, fleet)):
        said = f"The job needs {request.disk_gib:.1f} GiB of disk on each node and {size.name} has {disk:.1f} GiB here."
        return Judgement(size, "DiskTooSmall", said, lines=lines)
    return _terms(request, owner, size, fleet)


def _over_limit(size: InstanceType, lines: tuple[LedgerLine, ...], allowed: int, count: int) -> Judgement:
    tightest = min(lines, key=lambda line: line.limit)
    code = "JobNodeCountExceedsCoreQuota" if allowed else "NoQuotaForInstanceType"
    said = (
        f"The {row_name(tightest.key)} is {tightest.limit}, and {count} × {size.name} "
        f"({size.family}) needs {tightest.needed} vCPUs."
    )
    return Judgement(size, code, said, lines=lines, largest=allowed)


def _over_fleet(size: InstanceType, fleet: Fleet, lines: tuple[LedgerLine, ...], most: int, count: int) -> Judgement:
    said = (
        f"{count} × {size.name} is more than this fleet could ever give: it has {fleet.total.cores} cores and "
        f"{fleet.total.memory_mib / 1024:.1f} GiB of memory for at most {fleet.max_nodes} nodes. "
        f"The largest possible count is {most}."
    )
    return Judgement(size, "ExceedsFleet", said, lines=lines, largest=most)


def _judge_now(request: ResourceRequest, owner: Owner, terms: Judgement | Terms, room: Room) -> Judgement:
    if isinstance(terms, Judgement):
        return terms
    size, need, per_node = terms.size, terms.need, terms.per_node
    if size.gpus and not terms.emulated:
        free = sorted(room.fleet.total.gpus - room.held.gpus)
        need = replace(need, gpus=frozenset(free[: size.gpus * request.node_count]))
        per_node = replace(per_node, gpus=need.gpus) if request.node_count == 1 else per_node
    if (refused := _refused_now(terms, need, room)) is not None:
        lines = ledger_lines(request, owner, size, room.quotas, room.fleet)
        return Judgement(size, *refused, need=need, rows=terms.rows, lines=lines)
    placement = Placement(
        instance_type=size,
        node_count=request.node_count,
        tier=request.tier,
        emulated=terms.emulated,
        quota=terms.rows,
        capacity=need,
        per_node=per_node,
        reuse=() if terms.emulated else tuple(room.warm.get(size.name, ())[: request.node_count]),
    )
    return Judgement(size, factors=_factors(terms, need, room), placement=placement, need=need, rows=terms.rows)


def _refused_now(terms: Terms, need: Amount, room: Room) -> tuple[str, str] | None:
    """The first predicate that says no, as its code and a sentence, because of what others hold or keep."""
    turn = False
    for key, needed in terms.rows.items():
        if (quota := room.quota(key)) is None:
            continue
        if quota.held + needed > quota.limit:
            others = f"other jobs use too much of the {row_name(key)} ({quota.limit})"
            return "QuotaInUse", f"{needed} vCPU{'s are' if needed > 1 else ' is'} needed, and {others}."
        turn = turn or quota.held + needed + room.reserved_rows.get(key, 0) > quota.limit
    if not room.fits(need, reserved=False) or (not terms.emulated and len(need.gpus) < _gpus_of(terms)):
        whole = "the whole machine, because it is emulated" if terms.emulated else _said(need)
        return "CapacityInUse", f"It needs {whole}, and other jobs hold too much of the fleet."
    if turn or not room.fits(need, reserved=True):
        return "TurnOfAnother", "What is left is kept for a job that has waited longer."
    return None


def _gpus_of(terms: Terms) -> int:
    return terms.size.gpus * (terms.need.cores // terms.per_node.cores)


def _said(amount: Amount) -> str:
    return f"{amount.cores} core{'s' if amount.cores != 1 else ''} and {amount.memory_mib / 1024:.1f} GiB of memory"


def judgements(request: ResourceRequest, owner: Owner, room: Room) -> tuple[Judgement, ...]:
    """The named size alone, or every size of the fleet in rising order. Raises Invalid `InstanceTypeUnknown`."""
    asked = room.asked.get((request, owner))
    if asked is None:
        sizes: tuple[InstanceType, ...] = room.fleet.own_sizes
        if request.instance_type is not None:
            sizes = (find(request.instance_type, room.fleet.own_sizes, room.catalogue),)
        asked = tuple(_judge_forever(request, owner, size, room) for size in sizes)
        room.asked[(request, owner)] = asked
    return tuple(_judge_now(request, owner, terms, room) for terms in asked)


def candidates(
    request: ResourceRequest, owner: Owner, snapshot: Snapshot, *, whole_catalogue: bool = False
) -> tuple[Candidate, ...]:
    """Every size looked at, the best first, then the refused in the fleet's order; with `whole_catalogue` also the
    sizes that were never in question. An unknown name is one refused candidate."""
    room = Room.of(snapshot)
    try:
        judged = judgements(request, owner, room)
    except Invalid as error:
        return (Candidate(str(request.instance_type), refused=error.code, reason=error.message),)
    found = ranked(judged)
    if whole_catalogue and request.instance_type is None:
        rest = (s for s in snapshot.catalogue.values() if not is_own(s, snapshot.fleet))
        found += tuple(judge(request, owner, s, room).candidate() for s in rest)
    return found


def ranked(judged: tuple[Judgement, ...]) -> tuple[Candidate, ...]:
    passed = sorted((j for j in judged if j.placement), key=_better)
    return tuple(j.candidate() for j in (*passed, *(j for j in judged if not j.placement)))


def _better(judged: Judgement) -> tuple[float, int, str]:
    """Higher score first; among equals the smaller size, then the name: never the order of a dictionary."""
    return (-(judged.score or 0.0), judged.size.vcpus, judged.size.name)


def decide(
    request: ResourceRequest, owner: Owner, room: Room
) -> tuple[Placement | None, Explanation, Judgement | None]:
    """The placement that would be made now, why, and the judgement that stands for the request: the chosen size, or
    the first size that could fit later, or None when none ever can."""
    try:
        judged = judgements(request, owner, room)
    except Invalid as error:
        refused = Candidate(str(request.instance_type), refused=error.code, reason=error.message)
        return None, Explanation(error.message, "capacity", (refused,)), None
    found = ranked(judged)
    passed = [j for j in judged if j.placement]
    if passed:
        best = min(passed, key=_better)
        return best.placement, Explanation(_chosen(request, best, len(judged), room), None, found), best
    later = [j for j in judged if not j.permanent]
    if not later:
        shown = furthest(judged)
        if shown is None:
            return None, Explanation("This fleet offers no size.", "capacity", ()), None
        missing = "capacity" if shown.refused in ("ExceedsFleet", "DiskTooSmall") else "quota"
        return None, Explanation(f"It cannot start: {shown.reason}", missing, found), None
    head = later[0]
    missing = {"QuotaInUse": "quota", "CapacityInUse": "capacity"}.get(head.refused or "", "turn")
    return None, Explanation(f"Waits for {_waiting(missing, head)}", missing, found), head


def place(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> Placement | Explanation:
    """The gang's placement on what the snapshot has left, or why there is none. Pure: equal arguments, equal answer."""
    placement, explanation, _ = decide(request, owner, Room.of(snapshot))
    return placement or explanation


def furthest(judged: tuple[Judgement, ...]) -> Judgement | None:
    """The refusal that tells most: of the size that passed most predicates; the largest where disk is what lacks."""
    if not judged:
        return None
    reached = max(_stage(j) for j in judged)
    last = [j for j in judged if _stage(j) == reached]
    return last[-1] if last[0].refused == "DiskTooSmall" else last[0]


def _stage(judged: Judgement) -> int:
    return PERMANENT.index(judged.refused) if judged.refused in PERMANENT else len(PERMANENT)


def _chosen(request: ResourceRequest, best: Judgement, looked_at: int, room: Room) -> str:
    size = best.size
    if request.instance_type is None:
        return f"{size.name} has the best score ({best.score:.3f}) of the {looked_at} sizes of this fleet."
    if best.placement is not None and best.placement.emulated:
        return (
            f"{size.name} was named; it is accounted at {size.vcpus} vCPUs a node and emulated on this fleet's "
            f"{room.fleet.total.cores} cores, all of which it takes."
        )
    return f"{size.name} was named, and it fits."


def _waiting(missing: str, head: Judgement) -> str:
    return (
        "its turn: what is left is kept for a job that has waited longer."
        if missing == "turn"
        else (f"{missing}: {head.reason}")
    )
