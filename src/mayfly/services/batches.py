"""Many jobs in one call and one unit of work: all of them are accepted, or none, so that whoever mends what was wrong with one
sends the same call again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.services import components, submit
from mayfly.services.places import Place
from mayfly.services.submit import Keep
from mayfly.services.world import World
from mayfly.spec.holders import is_pipeline
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Unit
from mayfly.wire.mayfly import Submission

SHOWN = 100
"""Faults that are told of at the most."""


def accept(world: World, submitter: str, place: Place, asked: Sequence[Submission]) -> list[tuple[JobRow, bool]]:
    """Durable when it returns. Each as `submit.submit` has it, in their order. Raises Invalid with what is wrong with any of them,
    each fault below `/jobs/NUMBER`: what `submit.submit` raises, `PipelineInBatch`, `NameTwice`."""
    keeps: list[Keep] = []
    faults: list[Fault] = []
    names: dict[str, int] = {}
    for number, submission in enumerate(asked):
        try:
            keeps.append(_keeping(world, submitter, place, submission, number, names))
        except MayflyError as error:
            faults += [_at(number, fault) for fault in error.all_faults()]
            if len(faults) >= SHOWN:
                break
    if faults:
        raise _invalid(faults)

    def keep(unit: Unit) -> list[tuple[JobRow, bool]]:
        found = []
        for number, one in enumerate(keeps):
            try:
                found.append(one(unit))
            except MayflyError as error:
                raise _invalid([_at(number, fault) for fault in error.all_faults()]) from error
        return found

    try:
        return world.store.write(keep, patient=True)
    except IntegrityError:  # another server accepted one of the names at the same time: it is there now
        return world.store.write(keep, patient=True)


def _keeping(
    world: World, submitter: str, place: Place, submission: Submission, number: int, names: dict[str, int]
) -> Keep:
    if submission.only or is_pipeline(submission.definition):
        raise Invalid("PipelineInBatch", "A pipeline, and a step of one, is submitted by itself.", pointer="")
    with components.expanded(world, place, submission) as plain:
        found = submit.candidate(world, submitter, place, plain)
        if names.setdefault(found.row.name, number) != number:
            raise Invalid(
                "NameTwice",
                f"'{found.row.name}' is job {names[found.row.name]} of this call, too.",
                pointer="/name",
                remedy="Leave 'name' out, and each gets a fresh one.",
            )
        return submit.keeping(world, submitter, found)


def _at(number: int, fault: Fault) -> Fault:
    return Fault(fault.code, fault.message, f"/jobs/{number}{fault.pointer or ''}", fault.remedy)


def _invalid(faults: list[Fault]) -> Invalid:
    if len(faults) == 1:
        (only,) = faults
        return Invalid(only.code, only.message, remedy=only.remedy, pointer=only.pointer, faults=faults)
    return Invalid(
        "JobsInvalid", f"{len(faults)} things are wrong with these jobs; none was accepted.", pointer="", faults=faults
    )
