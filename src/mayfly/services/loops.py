"""Loops: a step that runs round after round (`do_while`), or once for each of its items (`parallel_for`), as a job whose
children are the rounds, `body[0]`, `body[1]`, …"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mayfly.domain.job import Cause, JobState
from mayfly.domain.life import Begun
from mayfly.domain.loop import Rounds, next_in_turn, next_of_all
from mayfly.domain.pipeline import Action
from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.services import datastores, steps, values
from mayfly.services.graphs import children_of
from mayfly.services.places import Place
from mayfly.services.steps import Plan
from mayfly.services.submit import Parent
from mayfly.services.world import World
from mayfly.spec import control
from mayfly.spec.child import OutputOf, child_of, with_inputs
from mayfly.spec.component import InputPort, coerced_or
from mayfly.spec.control import Loop
from mayfly.spec.level import ROOT_OUTPUTS, Level
from mayfly.spec.models import is_one_file
from mayfly.spec.words import LITERAL_TYPES
from mayfly.store import codec, jobs
from mayfly.store.children import ChildRow
from mayfly.store.jobs import JobRow
from mayfly.store.results import OutputRow
from mayfly.transfer import subtrees
from mayfly.wire.agent import Tree, TreeEntry
from mayfly.wire.mayfly import Submission


def begin(world: World, plan: Plan, name: str, children: Mapping[str, ChildRow]) -> ChildRow:
    """Keep the loop as a job: its body and the inputs of its rounds, bound. May be repeated. It is over already where what it
    was to begin with cannot be used."""
    named = {"name": steps.child_name(plan.row, name), "display_name": name}
    parent = Parent(plan.row.job.id, plan.parent, name)
    made_by = steps.made_by(world, children)
    rounds, base = [], {}
    try:
        loop = _known(plan.level, name, made_by)
        for key, given in loop.items.items():
            child = child_of(with_inputs(plan.level, loop.body, given), loop.body, made_by)
            sent = steps.sent(plan, loop.body, child.definition, child.moved)
            base = base or sent.definition
            rounds.append([key, sent.definition["inputs"], sent.uploads, sent.files])
    except Invalid as error:
        return steps.refuse(world, plan.row, parent, Submission(definition=named), plan.level.kind(name), error)
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
        "listed": loop.listed,
        "outputs": [
            {"name": output, "is_file": is_one_file(kind)}
            for output, kind in (plan.level.output_types(name) or {}).items()
        ],
        "continues": plan.level.fields.settings.continue_on_step_failure,
        "reuse": plan.level.reusable(loop.body),
    }
    definition = {"type": loop.kind, "body": base, **_shown(loop)}
    submission = Submission(definition={**named, **definition})
    row = steps.bare(world, plan.row, parent, submission, loop.kind, nodes=0, spec=base, work=work)
    return steps.keep(world, row, Begun())


def _known(level: Level, name: str, made_by: OutputOf) -> Loop:
    """With the items that a step has made. Raises Invalid."""
    loop, faults = control.loop_of(level, name)
    assert loop is not None and not faults, f"{name} was accepted with {faults}"
    if loop.source is None:
        return loop
    step, output = level.owners.get(loop.source.step, loop.source.step), loop.source.output
    known, faults = control.loop_of(control.with_items(level, name, str(made_by(step, output, True))), name)
    if known is None or faults:
        said = faults[0]
        raise Invalid(said.code, f"The items that '{step}' made: {said.message}", remedy=said.remedy)
    return known


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
        answer, why = values.answer_of(world, last, condition)
        if answer is None:
            return (), Cause("ConditionUnreadable", why)
        again = answer
    return next_in_turn(tuple(loop.rounds), known, again, cancelling=cancelling), None


def start(world: World, loop: Running, name: str, children: list[ChildRow]) -> ChildRow | None:
    """As `steps.start`, of a round."""
    given, uploads, files = loop.rounds[name]
    parent = Parent(loop.row.job.id, steps.root_of(loop.row), name, reuse=loop.work["reuse"])
    named = {"name": steps.child_name(loop.row, name), "experiment_name": loop.row.experiment}
    base = {"display_name": name, **codec.load(loop.row.spec), **named}
    try:
        inputs = {**given, **(_carried(world, loop, given, children[-1]) if children else {})}
    except Invalid as error:
        return steps.refuse(world, loop.row, parent, Submission(definition=base), "command", error)
    submission = Submission(
        definition={**base, "inputs": inputs}, uploads=uploads, files=files, source_name=loop.row.name
    )
    return steps.accepted(world, loop.row, loop.place, parent, submission)


def _carried(world: World, loop: Running, given: Mapping[str, Any], before: ChildRow) -> dict[str, Any]:
    """What a round is given of the one before it. Raises as `values.text_of`."""
    found: dict[str, Any] = {}
    for name, output in loop.work["mapping"].items():
        own, kind = given.get(name), loop.work["types"].get(output, "uri_folder")
        if kind in LITERAL_TYPES and not isinstance(own, Mapping):
            found[name] = values.text_of(world, before, output)
        else:
            told = own if isinstance(own, Mapping) else {}
            kind = "uri_file" if kind in LITERAL_TYPES else kind
            found[name] = {"type": kind, **told, "path": f"azureml://jobs/{before.name}/outputs/{output}"}
    return found


def end(world: World, loop: Running, cause: Cause | None, children: list[ChildRow]) -> None:
    """The loop has ended, with the outputs of its last round, or of all, each below its key. May be repeated."""
    made: list[OutputRow] = []
    whole = [one for one in children if one.state is JobState.COMPLETED] if cause is None else []
    if loop.row.type == jobs.DO_WHILE:
        whole = whole[-1:]
    for name, kind in loop.work["types"].items() if whole else ():
        if loop.row.type == jobs.PARALLEL_FOR and kind in LITERAL_TYPES:
            made.append(_values(world, loop, name, kind, whole))
            continue
        wanted = {"name": name, "output": name, "is_file": is_one_file(kind)}
        found = [(one.step, output) for one in whole if (output := values.output(world, one, wanted)) is not None]
        if found and loop.row.type == jobs.DO_WHILE:
            made.append(found[0][1])
        elif found:
            made.append(_gathered(world, loop, name, kind, found))
    steps.finish(world, loop.row.job.id, made, cause)


def _gathered(world: World, loop: Running, name: str, kind: str, found: list[tuple[str, OutputRow]]) -> OutputRow:
    """A folder for each round, and the MLTable of them all."""
    each = [subtrees.placed(datastores.read_tree(world, one.tree), _key(loop, step)) for step, one in found]
    if name not in ROOT_OUTPUTS:
        files = [entry.path for tree in each for entry in tree.entries] if is_one_file(kind) else []
        listed = [{"file": f"./{path}"} for path in files] or [{"folder": f"./{_key(loop, step)}"} for step, _ in found]
        each.append(_one_file(world, "MLTable", codec.dump({"type": "mltable", "paths": listed})))
    return _left(world, name, subtrees.merged(each))


def _values(world: World, loop: Running, name: str, kind: str, whole: list[ChildRow]) -> OutputRow:
    """The value of each round, as JSON of the shape that the items have; null where none can be read."""
    port = InputPort(type=kind)
    texts = {_key(loop, one.step): values.value_of(world, one, name) for one in whole}
    each = {key: None if text is None else coerced_or(port, text) for key, text in texts.items()}
    shown = [each.get(_key(loop, step)) for step in loop.rounds] if loop.work["listed"] else each
    return _left(world, name, _one_file(world, name, codec.dump(shown)))


def _key(loop: Running, step: str) -> str:
    return step[len(loop.body) + 1 : -1]


def _one_file(world: World, path: str, text: str) -> Tree:
    data = text.encode()
    digest = Digest(hashlib.sha256(data).hexdigest())
    world.content.put(digest, [data])
    return Tree(entries=(TreeEntry(path=path, digest=digest, size=len(data)),))


def _left(world: World, name: str, tree: Tree) -> OutputRow:
    size = sum(one.size for one in tree.entries)
    return OutputRow(0, name, datastores.keep_tree(world, tree), len(tree.entries), size)
