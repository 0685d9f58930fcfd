"""Steps that have their results already. What can begin is looked at together: those that did the same before are kept many in
one unit, with what can begin then because of them; the others begin one by one."""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError

from mayfly.domain import life
from mayfly.domain.job import JobState
from mayfly.domain.pipeline import Progress
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, MayflyError
from mayfly.services import components, inputs, outputs, reuse, steps, submit
from mayfly.services.data import DEFAULT_OUTPUT, Found
from mayfly.services.steps import Plan
from mayfly.services.submit import Candidate, Parent
from mayfly.services.world import World
from mayfly.store import children as child_rows
from mayfly.store import dialect, results
from mayfly.store import reuse as reuse_rows
from mayfly.store.children import ChildRow
from mayfly.store.jobs import JobRow
from mayfly.store.reuse import Original
from mayfly.store.unit import Unit
from mayfly.wire.mayfly import Submission

TOGETHER, BESIDE_OTHERS = 24, 3
"""So few that who writes meanwhile waits no longer than for a handful of submissions; while somebody does, for one or two."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A step as it would be kept, or why it cannot."""

    parent: Parent
    submission: Submission
    made: Candidate | MayflyError

    def original(self, world: World, known: dict[str, Original | None]) -> Original | None:
        """Who did its work already. `known`: what was found for others a moment ago, by their keys; it is kept there."""
        if isinstance(self.made, MayflyError) or self.made.row.reuse_key is None:
            return None
        row, key = self.made.row, self.made.row.reuse_key
        if key not in known:
            known[key] = world.store.read(lambda connection: reuse_rows.original(connection, row.workspace, key))
        found = known[key]
        lost = found is not None and not found.left and bool(self.made.understood.job.outputs)
        return None if lost else found


@dataclass(frozen=True, slots=True)
class _Hit:
    asked: _Asked
    candidate: Candidate
    original: Original

    def seen(self) -> ChildRow:
        """The child as what comes after it reads it: under its own name, what the other one left."""
        row, one = self.candidate.row, self.original
        return ChildRow(one.id, row.name, row.type, row.step or "", JobState.COMPLETED, one.attempt, None)

    def stands(self) -> dict[str, Found]:
        """As in `inputs.sources`: the outputs that are one tree."""
        declared, found = self.candidate.understood.job.outputs, dict[str, Found]()
        for one in self.original.left:
            alone = sum(other.name == one.name for other in self.original.left) == 1
            if alone and one.name in declared and one.name not in DEFAULT_OUTPUT:
                address = f"azureml://jobs/{self.candidate.row.name}/outputs/{one.name}"
                is_file = one.files == 1 and declared[one.name].type == "uri_file"
                found[address] = Found(address, is_file, one.tree)
        return found


def begin(
    world: World,
    plan: Plan,
    ready: deque[str],
    children: dict[str, ChildRow],
    progress: Progress,
    standing: dict[str, Found],
) -> tuple[list[ChildRow], bool]:
    """Begin command steps, as many as are kept in one unit; they are taken from `ready`. The children that they are now, and
    whether some could not begin yet: as `steps.start`. Of many that have their results there may be more to begin at once.
    `standing`: what such steps have, as in `inputs.sources`; what they have now is kept there. A call costs what it takes from
    `ready`, however many are left there or have begun."""
    first, later = set[str](), deque[str]()
    hits: dict[str, _Hit] = {}
    seen, stands, done = dict[str, ChildRow](), dict[str, Found](), dict[str, Original | None]()
    there, left = ChainMap(seen, children), ChainMap(stands, standing)
    singly: list[ChildRow | None] = []
    while (ready or later) and len(hits) < (BESIDE_OTHERS if world.courtesy.lately else TOGETHER):
        if ready:
            first.add(name := ready.popleft())
        else:
            name = later.popleft()
        world.courtesy.stand_back()
        asked = _ask(world, plan, name, there, left)
        if isinstance(asked, ChildRow):
            singly.append(asked)
        elif (original := asked.original(world, done)) is not None and isinstance(asked.made, Candidate):
            hit = hits[name] = _Hit(asked, asked.made, original)
            seen[name] = hit.seen()
            stands |= hit.stands()
            later.extend(one for one in progress.after(name, hits) if plan.level.kind(one) == "command")
        elif name in first:  # the others' turn comes when what they wait for is there
            singly.append(_alone(world, plan, _ask(world, plan, name, children, {}) if left else asked))
    if hits:
        world.courtesy.stand_back()
    together = _together(world, plan, list(hits.values())) if hits else []
    if together is None:
        together = []
        singly += [_alone(world, plan, _ask(world, plan, name, children, {})) for name in hits if name in first]
    else:
        standing |= stands
    return [*(one for one in singly if one is not None), *together], None in singly


def _ask(
    world: World, plan: Plan, step: str, there: Mapping[str, ChildRow], standing: Mapping[str, Found]
) -> _Asked | ChildRow:
    asked = steps.ask_for(world, plan, step, there)
    if isinstance(asked, ChildRow):
        return asked
    parent, submission = asked
    world.courtesy.stand_back()
    try:
        with components.expanded(world, plan.place, submission) as plain:
            made = submit.candidate(world, plan.row.submitter, plan.place, plain, parent, standing)
    except MayflyError as error:
        return _Asked(parent, submission, error)
    return _Asked(parent, submission, made)


def _alone(world: World, plan: Plan, asked: _Asked | ChildRow) -> ChildRow | None:
    """As `steps.start`."""
    if isinstance(asked, ChildRow):
        return asked
    try:
        if isinstance(asked.made, MayflyError):
            raise asked.made
        row, _ = submit.keep(world, asked.made)
    except MayflyError as error:
        return steps.unaccepted(world, plan.row, asked.parent, asked.submission, error)
    return child_rows.seen(row)


def _together(world: World, plan: Plan, hits: list[_Hit]) -> list[ChildRow] | None:
    """Keep them all with their results; None where one of them is not any more what it was."""
    now = world.clock.now()
    rows = [_ended(hit, now) for hit in hits]
    left = {str(row.job.id): hit.original.left for row, hit in zip(rows, hits, strict=True)}

    def write(unit: Unit) -> list[ChildRow] | None:
        submit.check_parent(unit, rows[0])
        for key in sorted({str(row.reuse_key) for row in rows}):
            dialect.alone(unit.connection, f"{plan.row.workspace} {key}")
        if not reuse_rows.still(unit, (hit.original for hit in hits)):
            return None
        reuse_rows.add_ended(unit, rows)
        results.add_outputs(unit, left)
        for row, hit in zip(rows, hits, strict=True):
            inputs.trace(unit, row, hit.candidate.understood.sources, now)
            outputs.inherited(world, unit, row, list(left[row.job.id]), now)
        unit.passing("job accepted")
        unit.passing("job ended")
        unit.wake("ended", f"job:{plan.row.job.id}", f"job:{plan.parent}")
        return [child_rows.seen(row) for row in rows]

    try:
        return world.store.write(write)
    except (IntegrityError, Conflict):  # a name is taken, or nobody waits for them: each is told why
        return None


def _ended(hit: _Hit, now: Millis) -> JobRow:
    row = reuse.with_results_of(hit.candidate.row, hit.original.id, hit.original.name)
    return replace(row, job=life.step(replace(row.job, created_at=now, phase_since=now), life.Reused(), now))
