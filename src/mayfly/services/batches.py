"""Many jobs in one call and one unit of work: all of them are accepted, or none, so that whoever mends what was wrong with one
sends the same call again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.services import components, submit, together
from mayfly.services.places import Place
from mayfly.services.submit import Decided, Understood
from mayfly.services.together import Gathering, Wanted
from mayfly.services.world import World
from mayfly.spec.holders import is_pipeline
from mayfly.store.jobs import Own
from mayfly.store.unit import Unit
from mayfly.wire.mayfly import Submission

Named = tuple[str, bool]
"""A job's name, and whether it was not there before."""
SHOWN = 100
"""Faults that are told of at the most."""


def accept(world: World, submitter: str, place: Place, asked: Sequence[Submission]) -> list[Named]:
    """Durable when it returns. Each as `submit.submit` has it, in their order. Raises Invalid with what is wrong with any of them,
    each fault below `/jobs/NUMBER`: what `submit.submit` raises, `PipelineInBatch`, `NameTwice`."""
    reading = _Reading(world, submitter, place)
    wanted: list[tuple[Wanted, Own | None]] = []
    faults: list[Fault] = []
    for number, submission in enumerate(asked):
        try:
            wanted.append(reading.understand(submission, number))
        except MayflyError as error:
            faults += [_at(number, fault) for fault in error.all_faults()]
            if len(faults) >= SHOWN:
                break
    if faults:
        raise _invalid(faults)

    def keep(unit: Unit) -> list[Named]:
        gathering, found = Gathering(unit, [one for one, own in wanted if own is None]), list[Named]()
        for number, (one, own) in enumerate(wanted):
            if own is not None:
                gathering.add_again(one, own)
                found.append((own.name, True))
                continue
            try:
                row, created = gathering.add(one)
                found.append((row.name, created))
            except MayflyError as error:
                raise _invalid([_at(number, fault) for fault in error.all_faults()]) from error
        gathering.write()
        return found

    try:
        return world.store.write(keep, patient=True)
    except IntegrityError:  # another server accepted one of the names at the same time: it is there now
        return world.store.write(keep, patient=True)


class _Reading:
    """The submissions of one call. What is said twice is understood once: a job like an earlier one is that one again."""

    def __init__(self, world: World, submitter: str, place: Place) -> None:
        self._world, self._submitter, self._place = world, submitter, place
        self._names: dict[str, int] = {}
        self._decided: Decided = {}
        self._known: dict[str, tuple[Understood, Wanted]] = {}

    def understand(self, submission: Submission, number: int) -> tuple[Wanted, Own | None]:
        """What it wants; where that is an earlier one's, what is its own. Raises as `accept`, one at a time."""
        said = submission.model_dump_json()
        if said in self._known:
            before, had = self._known[said]
            own = submit.again(self._world, before)
            if own is not None:
                return had, own
        if submission.only or is_pipeline(submission.definition):
            raise Invalid("PipelineInBatch", "A pipeline, and a step of one, is submitted by itself.", pointer="")
        with components.expanded(self._world, self._place, submission) as plain:
            found = submit.candidate(self._world, self._submitter, self._place, plain)
            name = found.row.name
            if self._names.setdefault(name, number) != number:
                raise Invalid(
                    "NameTwice",
                    f"'{name}' is job {self._names[name]} of this call, too.",
                    pointer="/name",
                    remedy="Leave 'name' out, and each gets a fresh one.",
                )
            had = together.wanted(self._world, found, self._decided)
        self._known[said] = found.understood, had
        return had, None


def _at(number: int, fault: Fault) -> Fault:
    return Fault(fault.code, fault.message, f"/jobs/{number}{fault.pointer or ''}", fault.remedy)


def _invalid(faults: list[Fault]) -> Invalid:
    if len(faults) == 1:
        (only,) = faults
        return Invalid(only.code, only.message, remedy=only.remedy, pointer=only.pointer, faults=faults)
    return Invalid(
        "JobsInvalid", f"{len(faults)} things are wrong with these jobs; none was accepted.", pointer="", faults=faults
    )
