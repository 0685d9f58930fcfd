"""What is said at submit: the quota outcomes A, B, C and D of semantics §7, in words a person can act on.

A (some quota, too little for the count), B (not even one node's worth), D (more than the fleet could ever give) and a
disk too small refuse the job; C (enough, but in use) is a message, and the job waits in Queued.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mayfly.domain.catalogue import LOCAL_FAMILY
from mayfly.domain.compute import Amount, InstanceType, Placement, ResourceRequest
from mayfly.domain.fitting import is_emulated
from mayfly.domain.placement import Judgement, Room, decide, furthest, judge, judgements, ranked
from mayfly.domain.queue import Candidate, Explanation, Snapshot
from mayfly.domain.quota import Owner, raise_command
from mayfly.kit.errors import Refused

_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """The job is accepted. `placement` is what would be made now, None when it has to wait."""

    size: InstanceType
    """The size chosen, or the one it waits for."""
    explanation: Explanation
    placement: Placement | None
    message: str | None
    """Outcome C, or that the size is emulated: to be said at submit and kept with the job; else None."""
    candidates: tuple[Candidate, ...] = ()
    emulated: bool = False
    """Whether it runs, now or later, on less than its declared size."""
    need: Amount = field(default_factory=Amount)
    """Real resources of the whole gang, now or later."""

    @property
    def starts_now(self) -> bool:
        return self.placement is not None


def outcome(request: ResourceRequest, owner: Owner, snapshot: Snapshot) -> Outcome:
    """Decide at submit. Looks at limits, fleet and what is held now, not at the queue (`schedule.plan` does).

    Raises Refused: `JobNodeCountExceedsCoreQuota` (A), `NoQuotaForInstanceType` (B), `ExceedsFleet` (D),
    `DiskTooSmall`; Invalid `InstanceTypeUnknown`.
    """
    room = Room.of(snapshot)
    judged = judgements(request, owner, room)
    if all(j.permanent for j in judged):
        raise _refusal(request, owner, furthest(judged), room)
    placement, explanation, head = decide(request, owner, room)
    assert head is not None  # not all are permanent, so one stands for the request
    emulated = is_emulated(head.size, request.node_count, snapshot.fleet)
    message = " ".join(filter(None, (_waits(placement, head), _emulation(request, head, room) if emulated else None)))
    return Outcome(head.size, explanation, placement, message or None, ranked(judged), emulated, head.need)


def _waits(placement: Placement | None, head: Judgement) -> str | None:
    """Outcome C, or that the machine is busy."""
    if placement is not None:
        return None
    if head.refused == "QuotaInUse":
        return f"There is enough quota, but other jobs use it. The job waits in Queued. {head.reason}"
    return f"The job waits in Queued until others end. {head.reason}"


def _emulation(request: ResourceRequest, head: Judgement, room: Room) -> str:
    size, count, cores = head.size, request.node_count, room.fleet.total.cores
    return (
        f"{count} × {size.name} is emulated: it is accounted at {count * size.vcpus} vCPUs and runs on this fleet's "
        f"{cores} core{'s' if cores > 1 else ''}, all of which it takes while it runs."
    )


def _refusal(request: ResourceRequest, owner: Owner, judged: Judgement | None, room: Room) -> Refused:
    if judged is None:
        return Refused("ExceedsFleet", "This fleet offers no size.", remedy="'mayfly status' shows the fleet.")
    pointer = "/resources/instance_type" if request.instance_type is not None else "/resources/instance_count"
    code, message = judged.refused or "ExceedsFleet", judged.reason or ""
    if code == "JobNodeCountExceedsCoreQuota":
        return _too_little(request, owner, judged, room)
    if code == "NoQuotaForInstanceType":
        return _no_quota(request, owner, judged, room)
    if code == "DiskTooSmall":
        enough = _sizes(request, owner, room, judged.size)
        remedy = f"Choose a size with more disk: {enough}." if enough else "Ask for fewer nodes or less input data."
        return Refused(code, message, remedy=remedy, pointer="/resources/instance_type")
    most = judged.largest or 0
    fewer = f"Set resources.instance_count to {most} or less" if most else "Choose a smaller size"
    enough = _sizes(request, owner, room, judged.size)
    return Refused(code, message, remedy=f"{fewer}{f', or choose {enough}' if enough else ''}.", pointer=pointer)


def _too_little(request: ResourceRequest, owner: Owner, judged: Judgement, room: Room) -> Refused:
    """Outcome A."""
    tightest = min(judged.lines, key=lambda line: line.limit)
    kind = f"{request.tier} total" if tightest.key.family == "*" else f"{request.tier} {tightest.key.family}"
    scope = tightest.key.scope.split(":", 1)[0]
    message = (
        f"The specified {scope} has a {kind} vCPU quota of {tightest.limit} and is less than the requested job node "
        f"count of {request.node_count} which maps to {tightest.needed} vCPUs ({judged.size.name}). "
        f"The largest valid node count is {judged.largest}."
    )
    ways = [f"Set resources.instance_count to {judged.largest} or less", *_increase(judged, room)]
    if enough := _sizes(request, owner, room, judged.size):
        ways.append(f"choose a size with enough quota, such as {enough}")
    return Refused(
        "JobNodeCountExceedsCoreQuota", message, remedy=f"{', or '.join(ways)}.", pointer="/resources/instance_count"
    )


def _no_quota(request: ResourceRequest, owner: Owner, judged: Judgement, room: Room) -> Refused:
    """Outcome B."""
    size = judged.size
    tightest = min(judged.lines, key=lambda line: line.limit)
    scope = tightest.key.scope.split(":", 1)[0]
    limit = f"a vCPU quota of {tightest.limit}" if tightest.limit else "no vCPU quota"
    message = (
        f"The specified {scope} has {limit} for {size.name} ({tightest.key.family} {request.tier}); one node needs "
        f"{size.vcpus} vCPUs, and {request.node_count} × {size.name} needs {tightest.needed}."
    )
    ways = []
    if enough := _sizes(request, owner, room, size):
        ways.append(f"choose a size with enough quota, such as {enough}")
    rehearse = size.gpus > len(room.fleet.total.gpus) and room.fleet.emulates
    ways += [f"to rehearse on CPU: {way}" if rehearse else way for way in _increase(judged, room)]
    if rehearse:
        message += f" This fleet has {_gpus(room)}."
    remedy = ", or ".join(ways) or "Ask for fewer vCPUs"
    return Refused(
        "NoQuotaForInstanceType",
        message,
        remedy=f"{remedy[0].upper()}{remedy[1:]}.",
        pointer="/resources/instance_type" if request.instance_type is not None else "/resources/instance_count",
    )


def _gpus(room: Room) -> str:
    count = len(room.fleet.total.gpus)
    return "no GPU" if count == 0 else f"{count} GPU{'s' if count > 1 else ''}"


def _increase(judged: Judgement, room: Room) -> list[str]:
    """The commands that would lift every limit in the way; none for `local` beyond the machine's own cores, where more
    quota would give no more machine."""
    lacking = [line for line in judged.lines if not line.fits_limit]
    if judged.size.family == LOCAL_FAMILY and any(n.needed > room.fleet.total.cores for n in lacking):
        return []
    commands = " and ".join(f"`{raise_command(line.key, line.needed)}`" for line in lacking)
    return [f"raise the quota with {commands}"] if commands else []


def _sizes(request: ResourceRequest, owner: Owner, room: Room, instead_of: InstanceType) -> str:
    """Up to three other sizes that nothing permanent refuses, the fleet's own first, then the nearest in vCPUs."""
    gpu_wanted = instead_of.gpus > 0 and len(room.fleet.total.gpus) > 0
    offered = [*room.fleet.own_sizes, *(s for s in room.catalogue.values() if not s.retired)]
    found = []
    for size in offered:
        if size.name == instead_of.name or (bool(size.gpus) is not gpu_wanted and not size.own):
            continue
        if not judge(replace(request, instance_type=size.name), owner, size, room).permanent:
            found.append(size)
    found.sort(key=lambda s: (not s.own, abs(s.vcpus - instead_of.vcpus), -s.speed, s.name))
    return ", ".join(list(dict.fromkeys(size.name for size in found))[:_NAMED_AT_MOST])
