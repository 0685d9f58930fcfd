"""A pipeline as a person wrote it (semantics §12), checked whole before anything starts: every step of every level, what
each waits for, and what of it must come from the submitter's machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import binding, component, expansion, texts
from mayfly.spec import job as command
from mayfly.spec import level as levels
from mayfly.spec.binding import ParentInput, ParentOutput, StepInput, StepOutput
from mayfly.spec.document import escape
from mayfly.spec.expansion import Expanded
from mayfly.spec.fields import Refers, local, refers, show
from mayfly.spec.job import CommandJob, LocalPath
from mayfly.spec.level import Level, near
from mayfly.spec.models import DATA_TYPES

STAND_IN = "azureml://jobs/stand-in/outputs/stand-in"
"""The path of what a step will have made."""
MOST_LEVELS = 20
_KINDS = ("command", "pipeline")
_LATER = ("sweep", "parallel", "automl", "spark", "import", "data_transfer", "if_else", "do_while", "parallel_for")
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
    sources: Mapping[str, StepOutput] = field(default_factory=dict)
    """Which step's output each of its own is."""

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
                found += [f"{name}: {note}" for note in command.notes(step.job)]
        return found


def is_pipeline(definition: Mapping[str, Any]) -> bool:
    """Whether a definition is a pipeline's: by its type, or by its steps where it says none."""
    kind = definition.get("type")
    if kind is not None:
        return str(kind).lower() == "pipeline"
    body = definition.get("component")
    return "jobs" in definition or (isinstance(body, Mapping) and str(body.get("type")).lower() == "pipeline")


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


def _pipeline(definition: Mapping[str, Any], alone: bool, depth: int) -> tuple[Pipeline | None, list[Fault]]:
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
    checker = _Checker(level, depth)
    steps = {name: step for name in level.nodes if (step := checker.step(name)) is not None}
    checker.circle()
    sources = checker.sources()
    return Pipeline(level, steps, sources), [*found, *checker.found]


class _Checker:
    """What is found in one level."""

    def __init__(self, level: Level, depth: int) -> None:
        self._level = level
        self._depth = depth
        self.found: list[Fault] = []
        self._needs: dict[str, dict[str, bool]] = {name: {} for name in level.nodes}
        self._edges: dict[tuple[str, str], str] = {}
        self._names = list(level.nodes)

    # --- steps

    def step(self, name: str) -> Step | None:
        level, node, place = self._level, self._level.nodes[name], self._level.place(name)
        if not _NAME.match(name):
            self._fault(
                "StepNameInvalid",
                f"{show(name)} cannot name a step.",
                place,
                "Use letters, digits, '_' and '-', beginning with a letter or '_'.",
            )
        kind = level.kind(name)
        if kind not in _KINDS:
            self._other(kind, place, node)
            return None
        component = node.get("component")
        if component is not None and not isinstance(component, Mapping) and not levels.is_reference(component):
            self._fault("WrongType", f"{show(component)} names no component.", f"{place}/component", "Write its file.")
            return None
        if not isinstance(node.get("is_deterministic", True), bool):
            message = f"Expected true or false, found {show(node['is_deterministic'])}."
            self._fault("WrongType", message, f"{place}/is_deterministic")
        bad = self._references(name)
        bad |= self._clashes(name) - bad
        self._depends(name)
        plain = level if not bad else self._without(name, bad)
        child = levels.child(plain, name, lambda _step, _output: STAND_IN)
        step = Step(name, kind, place, self._needs[name], child.definition, child.moved)
        unsure = bad | self._sampled(name)
        return self._whole(step, unsure)

    def _other(self, kind: str, place: str, node: Mapping[str, Any]) -> None:
        where = f"{place}/type" if "type" in node else f"{place}/component/type"
        if kind in _LATER:
            self._fault(
                "StepTypeNotSupported",
                f"Steps of type {kind} are understood but cannot run yet.",
                where,
                "Steps of type command and pipeline run.",
            )
        else:
            self._fault(
                "StepTypeNotSupported", f"Unknown type of a step: {kind}.", where, near(kind, [*_KINDS, *_LATER])
            )

    def _whole(self, step: Step, unsure: set[str]) -> Step | None:
        level, name = self._level, step.name
        if level.opaque(name) and step.kind == "pipeline":
            return step
        if step.kind == "pipeline":
            inner, found = _pipeline(step.definition, False, self._depth + 1)
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

    # --- references

    def _references(self, name: str) -> set[str]:
        """Look at every reference to the parent's; the inputs that hold a wrong one."""
        bad: set[str] = set()
        node, place = self._level.nodes[name], self._level.place(name)
        for section, value in node.items():
            if section in ("component", "jobs", "command", "depends_on"):
                continue
            for below, reference in binding.inside(value, f"/{section}"):
                wrong = self._wrong(name, section, binding.binding(reference), f"{place}{below}", str(reference))
                if wrong and section == "inputs":
                    bad.add(below.split("/")[2].replace("~1", "/").replace("~0", "~"))
        return bad

    def _wrong(self, name: str, section: str, found: Any, pointer: str, shown: str) -> bool:
        level = self._level
        match found:
            case ParentInput(source) if source not in level.inputs and source not in level.optional:
                known = sorted({*level.inputs, *level.optional})
                self._fault(
                    "InputUndefined", f"{shown}: the pipeline has no input '{source}'.", pointer, near(source, known)
                )
            case ParentOutput(target) if section == "outputs":
                if target in level.outputs:
                    return False
                known = list(level.outputs)
                self._fault(
                    "OutputUnknown", f"{shown}: the pipeline has no output '{target}'.", pointer, near(target, known)
                )
            case StepOutput(sibling, output) if section == "inputs":
                return self._edge(name, sibling, output, pointer, shown)
            case StepInput(sibling, given) if section == "inputs":
                return self._sibling_input(name, sibling, given, pointer, shown)
            case ParentInput():
                return False
            case _:
                self._fault("ExpressionMisplaced", f"{shown} has no meaning here.", pointer)
        return True

    def _edge(self, name: str, sibling: str, output: str, pointer: str, shown: str) -> bool:
        level = self._level
        if sibling not in level.nodes:
            self._fault("StepUnknown", f"{shown}: there is no step '{sibling}'.", pointer, near(sibling, self._names))
            return True
        port = level.port(name, pointer.removeprefix(level.place(name)).split("/")[2])
        self._edges[name, sibling] = pointer
        self._needs[name][sibling] = self._needs[name].get(sibling, False) or not (port or {}).get("optional", False)
        types = level.output_types(sibling)
        if types is not None and output not in types:
            self._fault(
                "OutputUnknown",
                f"{shown}: the step '{sibling}' has no output '{output}'.",
                pointer,
                near(output, list(types)),
            )
            return True
        return False

    def _sibling_input(self, name: str, sibling: str, given: str, pointer: str, shown: str) -> bool:
        """Follow it to where its value comes from: what that waits for, this one waits for too."""
        seen: set[tuple[str, str]] = set()
        level = self._level
        while True:
            if sibling not in level.nodes:
                self._fault(
                    "StepUnknown", f"{shown}: there is no step '{sibling}'.", pointer, near(sibling, self._names)
                )
                return True
            inputs = level.nodes[sibling].get("inputs")
            inputs = inputs if isinstance(inputs, Mapping) else {}
            if given not in inputs or (sibling, given) in seen:
                what = (
                    "leads back to itself" if (sibling, given) in seen else f"'{sibling}' is given no input '{given}'"
                )
                self._fault("InputUndefined", f"{shown}: {what}.", pointer, near(given, list(inputs)))
                return True
            seen.add((sibling, given))
            match binding.only(binding.legacy(binding.value_of(inputs[given]))):
                case StepInput(sibling, given):
                    continue
                case StepOutput(source, _) if source in level.nodes:
                    self._needs[name].setdefault(source, True)
                    self._edges[name, source] = pointer
            return False

    def _clashes(self, name: str) -> set[str]:
        """Inputs whose source is of a type that can never fit."""
        level, node, found = self._level, self._level.nodes[name], set()
        inputs = node.get("inputs")
        for key, value in inputs.items() if isinstance(inputs, Mapping) else ():
            port = level.port(name, key)
            if port is None:
                continue
            wanted, source, what = str(port.get("type")), "", ""
            match binding.only(binding.legacy(binding.value_of(value))):
                case StepOutput(sibling, output) if sibling in level.nodes:
                    source, what = (level.output_types(sibling) or {}).get(output, ""), f"'{output}' of '{sibling}'"
                case ParentInput(given) if given in level.inputs:
                    own = level.inputs[given]
                    source, what = _type_of(own), f"the pipeline's input '{given}'"
            if source and _clash(wanted, source):
                pointer = f"{level.place(name)}/inputs/{escape(key)}"
                message = f"The input '{key}' is of type {wanted}, and {what} is {_said(source)}."
                self._fault("TypesClash", message, pointer, "Bind it to something of that type.")
                found.add(key)
        return found

    def _sampled(self, name: str) -> set[str]:
        """Inputs whose value is nobody's yet."""
        inputs = self._level.nodes[name].get("inputs")
        return {
            key
            for key, value in (inputs.items() if isinstance(inputs, Mapping) else ())
            if isinstance(found := binding.only(binding.legacy(binding.value_of(value))), ParentInput)
            and found.name in self._level.sampled
        }

    def _without(self, name: str, bad: set[str]) -> Level:
        """The level with something in place of what is wrong, so that the rest of the step can be looked at."""
        level = self._level
        node = dict(level.nodes[name])
        node["inputs"] = {
            key: self._stand_in(name, key) if key in bad else value for key, value in node["inputs"].items()
        }
        return replace(level, nodes={**level.nodes, name: node})

    def _stand_in(self, name: str, key: str) -> Any:
        kind = str((self._level.port(name, key) or {}).get("type"))
        return {"integer": 1, "number": 1.0, "boolean": True, "string": "text"}.get(kind, {"path": STAND_IN})

    def _depends(self, name: str) -> None:
        """`depends_on`: order without data."""
        given, place = self._level.nodes[name].get("depends_on"), f"{self._level.place(name)}/depends_on"
        listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        if given is not None and not listed and given != []:
            self._fault("WrongType", f"Expected a list of steps, found {show(given)}.", place, "Write [first, second].")
        for index, one in enumerate(listed):
            pointer = place if isinstance(given, str) else f"{place}/{index}"
            bound = binding.only(one)
            sibling = str(one) if bound is None else getattr(bound, "step", "")
            if sibling not in self._level.nodes:
                self._fault("StepUnknown", f"There is no step '{sibling}'.", pointer, near(sibling, self._names))
                continue
            self._needs[name][sibling] = True
            self._edges.setdefault((name, sibling), pointer)

    # --- the whole

    def circle(self) -> None:
        try:
            TopologicalSorter(self._needs).prepare()
        except CycleError as error:
            around = list(error.args[1])
            pointer = self._edges.get((around[1], around[0]), self._level.place(around[1]))
            self._fault(
                "StepsInACircle",
                f"Steps wait for each other in a circle: {' → '.join(around)}.",
                pointer,
                "Take one of these edges out.",
            )

    def sources(self) -> dict[str, StepOutput]:
        level = self._level
        made = dict(level.forwarded)
        for name, bound in level.forwarded.items():
            place = f"/outputs/{escape(name)}"
            types = level.output_types(bound.step) if bound.step in level.nodes else None
            if bound.step not in level.nodes:
                self._fault("StepUnknown", f"There is no step '{bound.step}'.", place, near(bound.step, self._names))
            elif types is not None and bound.output not in types:
                message = f"The step '{bound.step}' has no output '{bound.output}'."
                self._fault("OutputUnknown", message, place, near(bound.output, list(types)))
        for step, node in level.nodes.items():
            outputs = node.get("outputs")
            for output, value in outputs.items() if isinstance(outputs, Mapping) else ():
                bound = binding.only(binding.legacy(binding.value_of(value)))
                if not isinstance(bound, ParentOutput):
                    continue
                if bound.name in made:
                    other = made[bound.name]
                    self._fault(
                        "OutputMadeTwice",
                        f"The output '{bound.name}' is made by '{other.step}' already.",
                        f"{level.place(step)}/outputs/{escape(output)}",
                    )
                made.setdefault(bound.name, StepOutput(step, output))
        if not level.at:
            return made  # a job may declare what it does not make, as the founding documents do: `notes` says so
        for name in level.outputs:
            if name not in made:
                place = f"{level.at}/outputs/{escape(name)}"
                self._fault(
                    "OutputUnmade",
                    f"No step makes the pipeline's output '{name}'.",
                    place,
                    f"In the step that does, write 'outputs: {{<its output>: ${{{{parent.outputs.{name}}}}}}}'.",
                )
        return made

    def _fault(self, code: str, message: str, pointer: str, remedy: str | None = None) -> None:
        self.found.append(Fault(code, message, pointer, remedy))


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


def _type_of(value: Any) -> str:
    """The type of a pipeline's input: 'literal' for one that is no data."""
    if isinstance(value, Mapping):
        return str(value.get("type", "uri_folder"))
    return "literal"


def _clash(wanted: str, source: str) -> bool:
    """Folders, files and tables stand for each other (semantics §12); models and literals do not."""
    literal = wanted in ("string", "number", "integer", "boolean")
    if literal or source == "literal":
        return literal and source != "literal"
    if wanted in (*DATA_TYPES, "path") or source in DATA_TYPES:
        return False
    return wanted != source


def _said(source: str) -> str:
    return "a literal" if source == "literal" else f"data of type {source}"
