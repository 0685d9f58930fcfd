"""A pipeline as a person wrote it (semantics §12), checked whole before anything starts: every step of every level, what
each waits for, and what of it must come from the submitter's machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import component, control, expansion, texts
from mayfly.spec import job as command
from mayfly.spec import level as levels
from mayfly.spec.binding import StepOutput
from mayfly.spec.child import child_of, with_inputs
from mayfly.spec.document import escape
from mayfly.spec.expansion import Expanded
from mayfly.spec.fields import show
from mayfly.spec.job import CommandJob
from mayfly.spec.level import CONTROLS, IF_ELSE, LOOPS, STAND_IN, Level, near
from mayfly.spec.paths import LocalPath, Refers, local, refers
from mayfly.spec.wiring import Wiring

MOST_LEVELS = 20
_KINDS = ("command", "pipeline")
_LATER = ("sweep", "parallel", "automl", "spark", "import", "data_transfer")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,254}\Z")
_ENVIRONMENT = {"image": "stand-in"}


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    kind: str
    place: str
    """Pointer of the step in the definition."""
    needs: Mapping[str, bool]
    """Step → whether this one cannot run without it."""
    definition: Mapping[str, Any]
    """The job it becomes; stand-ins where others' outputs will be."""
    moved: Mapping[str, str]
    job: CommandJob | Pipeline | None = None
    """None where only the server knows the component."""
    expanded: Expanded | None = None

    def back(self, pointer: str) -> str:
        """Where something of its plain job stands in the pipeline's definition."""
        pointer = self.expanded.back(pointer) if self.expanded is not None else pointer
        return self.moved.get(pointer, self.place + pointer)


@dataclass(frozen=True, slots=True)
class Pipeline:
    level: Level
    steps: Mapping[str, Step] = field(default_factory=dict)
    sources: Mapping[str, tuple[StepOutput, ...]] = field(default_factory=dict)
    """Which step's output each of its own is; of several, the one that was chosen to run."""
    chosen: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """Step → the `if_else` nodes that it stands in, and what the condition of each must be for it to run."""

    def local_paths(self) -> dict[str, LocalPath]:
        """As `CommandJob.local_paths`, of all its levels."""
        found: dict[str, LocalPath] = {}
        for name, place in self.level.written.items():
            value = self.level.inputs[name]
            path = value.get("path") if isinstance(value, Mapping) else None
            if isinstance(path, str) and refers(path) is Refers.LOCAL:
                found[place] = LocalPath(local(path), "file" if value.get("type") == "uri_file" else "folder")
        for step in self.steps.values():
            for pointer, path in (step.job.local_paths() if step.job is not None else _given(step)).items():
                written = step.expanded.back(pointer) if step.expanded is not None else pointer
                if written in step.moved:
                    continue
                body = step.definition.get("component")
                if written == "/component/code" and isinstance(body, Mapping) and not body.get("code"):
                    path = LocalPath("", "code")  # nothing but its includes
                found[step.place + written] = path
        return found

    def commands(self, path: str = "", at: str = "") -> Iterator[tuple[str, str, Step]]:
        """Every command step of every level: its path ('train', 'outer/train'), where its level's definition stands in
        this one's, the step."""
        for name, step in self.steps.items():
            if isinstance(step.job, Pipeline):
                yield from step.job.commands(f"{path}{name}/", at + step.place)
            elif step.job is not None:
                yield f"{path}{name}", at, step

    def notes(self) -> list[str]:
        """As `job.notes`: what is accepted and has no effect, or another than it may seem."""
        found = [f"inputs.{name}: the component has no such input; it is not used" for name in self.level.strangers]
        unmade = [name for name in self.level.outputs if name not in self.sources]
        found += [f"outputs.{name}: no step makes it; it stays empty" for name in unmade]
        bare = [
            name for name, step in self.steps.items() if step.kind == "command" and "compute" not in step.definition
        ]
        if bare:
            shown = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
            found.append(f"no compute is named for {shown}: serverless compute is used")
        for name, step in self.steps.items():
            if isinstance(step.job, Pipeline):
                found += [f"{name}: {note}" for note in step.job.notes()]
            elif step.job is not None:
                of_component = step.expanded.notes if step.expanded is not None else ()
                found += [f"{name}: {note}" for note in (*of_component, *command.notes(step.job))]
        return found


def parse(definition: Mapping[str, Any], *, alone: bool = False) -> Pipeline:
    """The pipeline, or Invalid with every fault of every level, each with a pointer into the definition. Components that
    only the server knows (texts) are taken as they are. `alone`: a pipeline component, under `component`.

    Codes: those of `job.parse` and `component.read`, and `StepsMissing`, `StepNameInvalid`, `StepTypeNotSupported`,
    `StepUnknown`, `StepsInACircle`, `OutputUnknown`, `OutputUnmade`, `OutputMadeTwice`, `TypesClash`, `InputMissing`."""
    made, found = _pipeline(definition, alone, 0)
    if made is None or found:
        raise command.invalid(found)
    return made


def read_component(body: Mapping[str, Any]) -> Pipeline:
    """A pipeline component by itself, to be kept under its name. Raises as `parse`; pointers begin with `/component`."""
    made, found = _pipeline({"component": body}, True, 0)
    if (wrong := component.check_name(body.get("name"))) is not None:
        found.insert(0, replace(wrong, pointer=f"/component{wrong.pointer}"))
    if made is None or found:
        raise command.invalid(found)
    return made


def _pipeline(
    definition: Mapping[str, Any], alone: bool, depth: int, sampled: Set[str] = frozenset()
) -> tuple[Pipeline | None, list[Fault]]:
    """`sampled`: inputs that are given a stand-in."""
    own = {key: value for key, value in definition.items() if key not in ("jobs", "component")}
    level, found = levels.read(definition, alone=alone)
    found += texts.check(own)
    if level is None:
        return None, found
    if depth > MOST_LEVELS:
        return None, [Fault("StepsTooDeep", f"Pipelines stand in each other more than {MOST_LEVELS} levels deep.", "")]
    if not level.nodes and not levels.is_reference(definition.get("component")):
        found.append(
            Fault(
                "StepsMissing",
                "A pipeline needs steps.",
                f"{level.at}/jobs",
                "Add them under 'jobs', each by its name.",
            )
        )
    checker = _Checker(replace(level, sampled=level.sampled | (sampled & level.inputs.keys())), depth)
    steps = {name: step for name in level.nodes if (step := checker.step(name)) is not None}
    checker.wiring.circle()
    sources = checker.wiring.sources()
    return Pipeline(level, steps, sources, checker.wiring.chosen), [*found, *checker.found]


class _Checker:
    """What is found in one level."""

    def __init__(self, level: Level, depth: int) -> None:
        self._level = level
        self._depth = depth
        self.wiring = Wiring(level)
        self.found = self.wiring.found

    # --- steps

    def step(self, name: str) -> Step | None:
        """None for what is no step of the graph: wrong, or the body of a loop, which speaks for it."""
        kind = self._level.kind(name)
        self._named(name)
        if kind == IF_ELSE:
            return self._choice(name)
        if kind in LOOPS:
            return self._loop(name)
        return None if name in self._level.owners else self._plain(name)

    def _choice(self, name: str) -> Step | None:
        place, wiring = self._level.place(name), self.wiring
        choice, found = control.choice_of(self._level, name)
        self.found += found
        if choice is None:
            return None
        if isinstance(choice.condition, StepOutput):
            wiring.waits(name, choice.condition.step, f"{place}/condition")
        wiring.choose(name, choice.members, place)
        return Step(name, IF_ELSE, place, wiring.needs[name], {"inputs": {}}, {})

    def _loop(self, name: str) -> Step | None:
        """The loop as its body, looked at with the inputs of every round."""
        level, place = self._level, self._level.place(name)
        loop, found = control.loop_of(level, name)
        self.found += found
        if loop is None:
            return None
        step = None
        if isinstance(loop.source, StepOutput):
            self.wiring.waits(name, loop.source.step, f"{place}/items")
        for key, given in loop.items.items():
            round_level = with_inputs(level, loop.body, given)
            checker = _Checker(round_level, self._depth)
            made = checker._plain(loop.body, loop.unsure)
            step = step or made
            self.wiring.takes(name, checker.wiring.needs[loop.body], f"{place}/body")
            items = f"{place}/items" if loop.texts else f"{place}/items/{key}"
            self.found += [_moved(one, level.place(loop.body), given, items) for one in checker.found]
            if checker.found:
                break  # the next rounds' faults are most likely the same
        return None if step is None else replace(step, name=name, kind=loop.kind, needs=self.wiring.needs[name])

    def _named(self, name: str) -> None:
        if not _NAME.match(name):
            self.wiring.fault(
                "StepNameInvalid",
                f"{show(name)} cannot name a step.",
                self._level.place(name),
                "Use letters, digits, '_' and '-', beginning with a letter or '_'.",
            )

    def _plain(self, name: str, unsure: Set[str] = frozenset()) -> Step | None:
        """`unsure`: inputs with a stand-in in their place."""
        level, node, place = self._level, self._level.nodes[name], self._level.place(name)
        kind = level.kind(name)
        if kind not in _KINDS:
            self._other(kind, place, node)
            return None
        component = node.get("component")
        if component is not None and not isinstance(component, Mapping) and not levels.is_reference(component):
            self.wiring.fault(
                "WrongType", f"{show(component)} names no component.", f"{place}/component", "Write its file."
            )
            return None
        if not isinstance(node.get("is_deterministic", True), bool):
            message = f"Expected true or false, found {show(node['is_deterministic'])}."
            self.wiring.fault("WrongType", message, f"{place}/is_deterministic")
        bad = self.wiring.references(name)
        bad |= self.wiring.clashes(name) - bad
        self.wiring.depends(name)
        later = self.wiring.values(name) - bad
        plain = self.wiring.without(name, bad | later) if bad or later else level
        child = child_of(plain, name, lambda _step, _output, _value: STAND_IN)
        step = Step(name, kind, place, self.wiring.needs[name], child.definition, child.moved)
        return self._whole(step, {*unsure, *bad, *later, *self.wiring.sampled(name)})

    def _other(self, kind: str, place: str, node: Mapping[str, Any]) -> None:
        where = f"{place}/type" if "type" in node else f"{place}/component/type"
        if kind in _LATER:
            self.wiring.fault(
                "StepTypeNotSupported",
                f"Steps of type {kind} are understood but cannot run yet.",
                where,
                "Steps of type command and pipeline run, and if_else, do_while and parallel_for.",
            )
        else:
            self.wiring.fault(
                "StepTypeNotSupported",
                f"Unknown type of a step: {kind}.",
                where,
                near(kind, [*_KINDS, *CONTROLS, *_LATER]),
            )

    def _whole(self, step: Step, unsure: set[str]) -> Step | None:
        level, name = self._level, step.name
        if level.opaque(name) and step.kind == "pipeline":
            return step
        if step.kind == "pipeline":
            inner, found = _pipeline(step.definition, False, self._depth + 1, unsure)
            self._take(step, found, unsure)
            return None if inner is None else replace(step, job=inner)
        try:
            if level.opaque(name):
                own = {key: value for key, value in step.definition.items() if key != "component"}
                command.parse({"command": "true", "environment": _ENVIRONMENT, **own})
                return step
            if level.body(name) is None:
                return replace(step, job=command.parse(step.definition))
            job, expanded = expansion.job_of(step.definition)
        except Invalid as error:
            self._take(step, error.all_faults(), unsure)
            return None
        return replace(step, job=job, expanded=expanded)

    def _take(self, step: Step, found: Any, unsure: set[str]) -> None:
        """Faults of a step's job, but for those of inputs whose value is a stand-in for a missing one."""
        for fault in found:
            pointer = fault.pointer or ""
            if any(pointer == own or pointer.startswith(own + "/") for own in (f"/inputs/{escape(n)}" for n in unsure)):
                continue
            place = step.moved.get(pointer, step.place + pointer)
            self.found.append(replace(fault, pointer=place))


def _moved(fault: Fault, body: str, given: Mapping[str, Any], items: str) -> Fault:
    """What is wrong with an input that an item gives stands in the item."""
    for name in given:
        place = f"{body}/inputs/{escape(name)}"
        if fault.pointer == place or str(fault.pointer).startswith(f"{place}/"):
            return replace(fault, pointer=f"{items}/{escape(name)}" if not items.endswith("/items") else items)
    return fault


def _given(step: Step) -> dict[str, LocalPath]:
    """The local inputs of a step whose component only the server knows."""
    found: dict[str, LocalPath] = {}
    for name, value in step.definition["inputs"].items():
        path = value.get("path") if isinstance(value, Mapping) else None
        if isinstance(path, str) and refers(path) is Refers.LOCAL:
            found[f"/inputs/{escape(name)}/path"] = LocalPath(
                local(path), "file" if value.get("type") == "uri_file" else "folder"
            )
    return found
