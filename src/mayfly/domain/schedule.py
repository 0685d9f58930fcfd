"""The order of work: one pure `plan(snapshot, now)` over classes of jobs.

The order: priority, then fair share (the submitter who holds the fewest cores, counted on while the plan places), then
age (sequence). A gang starts whole or not at all. What could not start is passed over, and those behind it may start:
backfill, under one law that needs no forecast of run times.

**The law of backfill.** Once a blocked head has waited `PATIENCE_MS` since it was queued, what it needs is reserved at its
place in the order: its quota rows, and, as soon as those could be had, its capacity too. A job behind it then starts only
if what is held, what is reserved and the job itself fit together. So whatever ends from then on is left to the head, and
it starts at the latest when the jobs that run now, and those before it in the order, have ended. One head at a time
reserves: the first in the order. A head that nothing could ever fit reserves nothing.

Cost: one look at the candidates for each start and each kind of request that is blocked (nothing is given back within a
plan, so it stays blocked); jobs that wait behind a blocked head of their class cost nothing.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from mayfly.domain.compute import ResourceRequest
from mayfly.domain.placement import Judgement, Room, decide
from mayfly.domain.queue import ClassKey, Explanation, Head, JobClass, Plan, Snapshot, Start
from mayfly.domain.quota import Owner
from mayfly.kit.clock import Millis

PATIENCE_MS = 30_000
"""How long a blocked head is passed over before what it needs is kept for it."""


def owner_of(key: ClassKey) -> Owner:
    return Owner(key.subscription, str(key.workspace))


@dataclass(slots=True)
class _Line:
    """One submitter's classes of one priority: a heap by the age of their heads."""

    classes: list[tuple[int, ClassKey, int]] = field(default_factory=list)
    """(sequence of the head, class, index of the head)."""


def plan(snapshot: Snapshot, now: Millis) -> Plan:
    """Which jobs start now, where, and why each class that still waits does. Deterministic; places at most the heads it
    is given; never more than quota and capacity have left. `waits` holds a class whenever a job of it stays behind."""
    room = Room.of(snapshot)
    shares = dict(snapshot.recent)
    by_key = {one.key: one for one in snapshot.classes}
    starts: list[Start] = []
    waits: dict[ClassKey, Explanation] = {}
    reserved_for: Head | None = None
    blocked: dict[tuple[ResourceRequest, Owner], tuple[None, Explanation, Judgement | None]] = {}
    for priority in sorted({key.priority for key in by_key}, reverse=True):
        lines = _lines(snapshot.classes, priority)
        order = [(shares.get(who, 0.0), line.classes[0][0], who) for who, line in lines.items()]
        heapq.heapify(order)
        while order:
            _, _, who = heapq.heappop(order)
            line = lines[who]
            _, key, index = heapq.heappop(line.classes)
            one = by_key[key]
            head = one.heads[index]
            asked = (one.request, owner_of(key))
            placement, explanation, judged = blocked.get(asked) or decide(*asked, room)
            if placement is not None:
                room.take(placement)
                shares[who] = shares.get(who, 0.0) + placement.capacity.cores
                starts.append(Start(head.job, placement, explanation))
                if index + 1 < len(one.heads):
                    heapq.heappush(line.classes, (one.heads[index + 1].sequence, key, index + 1))
                elif one.waiting > len(one.heads):
                    waits[key] = Explanation("Waits its turn: older jobs of its kind start first.", "turn")
            else:
                waits[key] = explanation
                blocked[asked] = (None, explanation, judged)
                if reserved_for is None and judged is not None and now - head.queued_at >= PATIENCE_MS:
                    reserved_for = head
                    _reserve(room, judged)
            if line.classes:
                heapq.heappush(order, (shares.get(who, 0.0), line.classes[0][0], who))
    return Plan(tuple(starts), waits)


def _lines(classes: tuple[JobClass, ...], priority: int) -> dict[str, _Line]:
    lines: dict[str, _Line] = {}
    for one in classes:
        if one.key.priority == priority and one.heads:
            lines.setdefault(one.key.submitter, _Line()).classes.append((one.heads[0].sequence, one.key, 0))
    for line in lines.values():
        heapq.heapify(line.classes)
    return lines


def _reserve(room: Room, judged: Judgement) -> None:
    room.reserved_rows = dict(judged.rows)
    if judged.refused != "QuotaInUse":
        room.reserved = judged.need


def place_in_queue(snapshot: Snapshot, key: ClassKey, sequence: int | None = None) -> int:
    """1 for the next in the order. Counts the waiting jobs before the class's head, or before the job of `sequence`
    within it: all of a higher priority; of the same, those of submitters who hold fewer cores, and the older ones of
    the rest (exact where a class shows all its jobs, an estimate behind its last head)."""
    shares = snapshot.recent
    mine = next((one for one in snapshot.classes if one.key == key), None)
    if sequence is None:
        sequence = mine.heads[0].sequence if mine is not None and mine.heads else None
    ahead = 0
    for one in snapshot.classes:
        if one.key.priority != key.priority:
            ahead += one.waiting if one.key.priority > key.priority else 0
            continue
        held, own = shares.get(one.key.submitter, 0.0), shares.get(key.submitter, 0.0)
        if held != own and one.key.submitter != key.submitter:
            ahead += one.waiting if held < own else 0
            continue
        older = sum(1 for head in one.heads if sequence is None or head.sequence < sequence)
        ahead += one.waiting if sequence is None or older == len(one.heads) else older
    return ahead + 1
