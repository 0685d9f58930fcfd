"""Loops: a step that runs round after round (`do_while`), or once for each of its items (`parallel_for`), as a job whose
children are the rounds, `body[0]`, `body[1]`, …"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import Begun
from mayfly.domain.loop import Rounds, next_in_turn, next_of_all
from mayfly.domain.pipeline import Action
from mayfly.services import datastores, steps
from mayfly.services.graphs import children_of
from mayfly.services.places import Place
from mayfly.services.steps import Plan
from mayfly.services.submit import Parent
from mayfly.services.world import World
from mayfly.spec import control
from mayfly.spec.child import child_of, with_inputs
from mayfly.spec.control import Loop
from mayfly.spec.models import LITERAL_TYPES, is_one_file
from mayfly.store import codec, jobs
from mayfly.store.jobs import ChildRow, JobRow
from mayfly.store.results import OutputRow
from mayfly.transfer import subtrees
from mayfly.wire.mayfly import Submission


def begin(world: World, plan: Plan, name: str, children: list[ChildRow]) -> None:
    """Keep the loop as a job: its body and the inputs of its rounds, bound. May be repeated."""
    loop, faults = control.loop_of(plan.level, name)
    assert loop is not None and not faults, f"{name} was accepted with {faults}"
    rounds, base = [], {}
    for key, given in loop.items.items():
        child = child_of(with_inputs(plan.level, loop.body, given), loop.body, steps.made_by(children))
        sent = steps.sent(plan, loop.body, child.definition, child.moved)
        base = base or sent.definition
        rounds.append([key, sent.definition["inputs"], sent.uploads, sent.files])
    if loop.kind == jobs.DO_WHILE:
        rounds = [[str(index), *rounds[0][1:]] for index in range(loop.most)]
    types = plan.level.output_types(loop.body) or {}
    work = {
        "needs": [],
        "body": loop.body,
        "rounds": rounds,
        "at_once": loop.at_once,
        "condition": loop.condition,
        "mapping": dict(loop.mapping),
        "types": types,
        "outputs": [
            {"name": output, "is_file": loop.kind == jobs.DO_WHILE and is_one_file(kind)}
            for output, kind in types.items()
        ],
        "continues": plan.level.fields.settings.continue_on_step_failure,
        "reuse": plan.level.reusable(loop.body),
    }
    definition = {"type": loop.kind, "body": base, **_shown(loop)}
    parent = Parent(plan.row.job.id, plan.parent, name)
    named = {"name": steps.child_name(plan.row, name), "display_name": name}
    submission = Submission(definition={**named, **definition})
    row = steps.bare(world, plan.row, parent, submission, loop.kind, nodes=0, spec=base, work=work)
    steps.keep(world, row, Begun())


def _shown(loop: Loop) -> dict[str, Any]:
    if loop.kind == jobs.DO_WHILE:
        return {
            "condition": loop.condition,
            "mapping": dict(loop.mapping),
            "limits": {"max_iteration_count": loop.most},
        }
    return {"items": dict(loop.items), "max_concurrency": loop.at_once}


@dataclass(frozen=True, slots=True)
class Running:
    """What of a loop's row never changes, read once."""

    row: JobRow
    place: Place
    body: str
    work: Mapping[str, Any]
    rounds: Mapping[str, tuple[dict[str, Any], dict[str, str], list[str]]]
    """Name of the round → its inputs, and what was sent for it."""


def running_of(world: World, row: JobRow) -> Running:
    work = codec.load(row.work)
    rounds = {f"{work['body']}[{key}]": (given, sent, files) for key, given, sent, files in work["rounds"]}
    return Running(row, steps.place_of(world, row), work["body"], work, rounds)


def actions(
    world: World, loop: Running, children: list[ChildRow], *, cancelling: bool
) -> tuple[tuple[Action, ...], Cause | None]:
    """What to do now; or why it has failed, where what its condition was cannot be told."""
    known = children_of(children)
    if loop.row.type == jobs.PARALLEL_FOR:
        rounds = Rounds(tuple(loop.rounds), loop.work["at_once"], loop.work["continues"])
        return next_of_all(rounds, known, cancelling=cancelling), None
    again, last = True, children[-1] if children else None
    condition = loop.work["condition"]
    if condition and last is not None and last.state is JobState.COMPLETED:
        answer, why = steps.answer_of(world, last, condition)
        if answer is None:
            return (), Cause("ConditionUnreadable", why)
        again = answer
    return next_in_turn(tuple(loop.rounds), known, again, cancelling=cancelling), None


def start(world: World, loop: Running, name: str, children: list[ChildRow]) -> bool:
    """As `steps.start`, of a round."""
    given, uploads, files = loop.rounds[name]
    inputs = {**given, **(_carried(world, loop, given, children[-1]) if children else {})}
    definition = {
        "display_name": name,
        **codec.load(loop.row.spec),
        "inputs": inputs,
        "name": steps.child_name(loop.row, name),
        "experiment_name": loop.row.experiment,
    }
    submission = Submission(definition=definition, uploads=uploads, files=files, source_name=loop.row.name)
    parent = Parent(loop.row.job.id, steps.root_of(loop.row), name, reuse=loop.work["reuse"])
    return steps.accepted(world, loop.row, loop.place, parent, submission)


def _carried(world: World, loop: Running, given: Mapping[str, Any], before: ChildRow) -> dict[str, Any]:
    """What a round is given of the one before it."""
    found: dict[str, Any] = {}
    for name, output in loop.work["mapping"].items():
        own, kind = given.get(name), loop.work["types"].get(output, "uri_folder")
        if kind in LITERAL_TYPES and not isinstance(own, Mapping):
            found[name] = steps.value_of(world, before, output)
        else:
            told = own if isinstance(own, Mapping) else {}
            kind = "uri_file" if kind in LITERAL_TYPES else kind
            found[name] = {"type": kind, **told, "path": f"azureml://jobs/{before.name}/outputs/{output}"}
    return {name: value for name, value in found.items() if value is not None}


def end(world: World, loop: Running, cause: Cause | None, children: list[ChildRow]) -> None:
    """The loop has ended, with the outputs of its last round, or of all, each below its key. May be repeated."""
    made: list[OutputRow] = []
    whole = [one for one in children if one.state is JobState.COMPLETED] if cause is None else []
    if loop.row.type == jobs.DO_WHILE:
        whole = whole[-1:]
    for name, kind in loop.work["types"].items() if whole else ():
        wanted = {"name": name, "output": name, "is_file": is_one_file(kind)}
        found = [(one.step, output) for one in whole if (output := steps.output(world, one, wanted)) is not None]
        if found and loop.row.type == jobs.DO_WHILE:
            made.append(found[0][1])
        elif found:
            made.append(_gathered(world, loop.body, name, found))
    steps.finish(world, loop.row.job.id, made, cause)


def _gathered(world: World, body: str, name: str, found: list[tuple[str, OutputRow]]) -> OutputRow:
    each = [subtrees.placed(datastores.read_tree(world, one.tree), step[len(body) + 1 : -1]) for step, one in found]
    digest = datastores.keep_tree(world, subtrees.merged(each))
    return OutputRow(0, name, digest, sum(one.files for _, one in found), sum(one.bytes for _, one in found))
