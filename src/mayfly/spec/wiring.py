"""How the steps of one level hang together: every reference followed, what each step waits for, who makes each output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mayfly.kit.errors import Fault
from mayfly.spec import binding
from mayfly.spec.binding import ParentInput, ParentOutput, StepInput, StepOutput
from mayfly.spec.document import escape
from mayfly.spec.fields import show
from mayfly.spec.level import Level, near, stand_in
from mayfly.spec.words import DATA_TYPES, LITERAL_TYPES


class Wiring:
    """Of one level; `found` grows as steps are looked at."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self.found: list[Fault] = []
        self.needs: dict[str, dict[str, bool]] = {name: {} for name in level.nodes}
        """Step → what it waits for → whether it cannot run without it."""
        self.chosen: dict[str, dict[str, bool]] = {}
        """Step → the choices that it stands in, and what each must be for it to run."""
        self._edges: dict[tuple[str, str], str] = {}
        self._names = list(level.nodes)

    def references(self, name: str) -> set[str]:
        """Look at every reference to the parent's; the inputs that hold a wrong one."""
        bad: set[str] = set()
        node, place = self._level.nodes[name], self._level.place(name)
        for section, value in node.items():
            if section in ("component", "jobs", "command", "depends_on"):
                continue
            for below, reference, whole in binding.inside(value, f"/{section}"):
                found, shown = binding.binding(reference), str(reference)
                wrong = self._wrong(name, section, found, f"{place}{below}", shown)
                if not wrong and not whole and isinstance(found, (StepInput, StepOutput)):
                    message = f"{shown} is the whole of an input or no part of it."
                    hint = f"Write '{shown}' alone, and what belongs around it in the command."
                    self.fault("ExpressionMisplaced", message, f"{place}{below}", hint)
                    wrong = True
                if wrong and section == "inputs":
                    bad.add(below.split("/")[2].replace("~1", "/").replace("~0", "~"))
        return bad

    def _wrong(self, name: str, section: str, found: Any, pointer: str, shown: str) -> bool:
        level = self._level
        match found:
            case ParentInput(source) if source not in level.inputs and source not in level.optional:
                known = sorted({*level.inputs, *level.optional})
                self.fault(
                    "InputUndefined", f"{shown}: the pipeline has no input '{source}'.", pointer, near(source, known)
                )
            case ParentOutput(target) if section == "outputs":
                if target in level.outputs:
                    return False
                known = list(level.outputs)
                self.fault(
                    "OutputUnknown", f"{shown}: the pipeline has no output '{target}'.", pointer, near(target, known)
                )
            case StepOutput(sibling, output) if section == "inputs":
                return self._edge(name, sibling, output, pointer, shown)
            case StepInput(sibling, given) if section == "inputs":
                return self._sibling_input(name, sibling, given, pointer, shown)
            case ParentInput():
                return False
            case _:
                self.fault("ExpressionMisplaced", f"{shown} has no meaning here.", pointer)
        return True

    def _edge(self, name: str, sibling: str, output: str, pointer: str, shown: str) -> bool:
        level = self._level
        if sibling not in level.nodes:
            self.fault("StepUnknown", f"{shown}: there is no step '{sibling}'.", pointer, near(sibling, self._names))
            return True
        port = level.port(name, pointer.removeprefix(level.place(name)).split("/")[2])
        self.waits(name, sibling, pointer, required=not (port or {}).get("optional", False))
        types = level.output_types(level.owners.get(sibling, sibling))
        if types is not None and output not in types:
            self.fault(
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
                self.fault(
                    "StepUnknown", f"{shown}: there is no step '{sibling}'.", pointer, near(sibling, self._names)
                )
                return True
            inputs = level.nodes[sibling].get("inputs")
            inputs = inputs if isinstance(inputs, Mapping) else {}
            if given not in inputs or (sibling, given) in seen:
                what = (
                    "leads back to itself" if (sibling, given) in seen else f"'{sibling}' is given no input '{given}'"
                )
                self.fault("InputUndefined", f"{shown}: {what}.", pointer, near(given, list(inputs)))
                return True
            seen.add((sibling, given))
            match binding.only(binding.legacy(binding.value_of(inputs[given]))):
                case StepInput(sibling, given):
                    continue
                case StepOutput(source, _) if source in level.nodes:
                    self.waits(name, source, pointer)
            return False

    def waits(self, name: str, other: str, pointer: str, *, required: bool = True) -> None:
        """For what is the body of a loop, the loop is waited for."""
        other = self._level.owners.get(other, other)
        self.needs[name][other] = self.needs[name].get(other, False) or required
        self._edges.setdefault((name, other), pointer)

    def takes(self, loop: str, needs: Mapping[str, bool], pointer: str) -> None:
        """The loop waits for what its body needs, which is no step of the graph."""
        for other, required in needs.items():
            self.waits(loop, other, pointer, required=required)

    def choose(self, name: str, members: Mapping[str, bool], pointer: str) -> None:
        for member, wanted in members.items():
            step = self._level.owners.get(member, member)
            self.waits(step, name, pointer)
            self.chosen.setdefault(step, {})[name] = wanted

    def clashes(self, name: str) -> set[str]:
        """Inputs whose source is of a type that can never fit."""
        level, node, found = self._level, self._level.nodes[name], set()
        inputs = node.get("inputs")
        for key, value in inputs.items() if isinstance(inputs, Mapping) else ():
            wanted = self._wanted(name, key, value)
            source, what, hint = "", "", "Bind it to something of that type."
            match self._source(value):
                case StepOutput(sibling, output):
                    source, what = self._made(sibling, output), f"'{output}' of '{sibling}'"
                    if wanted in LITERAL_TYPES:
                        hint = (
                            f"Declare the output as '{output}: {{type: {wanted}}}' and write the value into that file."
                        )
                case ParentInput(given) if given in level.inputs:
                    own = level.inputs[given]
                    source, what = _type_of(own), f"the pipeline's input '{given}'"
            if wanted and source and _clash(wanted, source):
                pointer = f"{level.place(name)}/inputs/{escape(key)}"
                message = f"The input '{key}' is of type {wanted}, and {what} is {_said(source)}."
                self.fault("TypesClash", message, pointer, hint)
                found.add(key)
        return found

    def values(self, name: str) -> set[str]:
        """Inputs whose value a step will have written."""
        inputs = self._level.nodes[name].get("inputs")
        found = set()
        for key, value in inputs.items() if isinstance(inputs, Mapping) else ():
            source = self._source(value)
            kind = self._made(source.step, source.output) if isinstance(source, StepOutput) else ""
            if kind in LITERAL_TYPES and (self._wanted(name, key, value) or kind) in LITERAL_TYPES:
                found.add(key)
        return found

    def _wanted(self, name: str, key: str, value: Any) -> str:
        """The type that an input says it is of; '' where it says none."""
        own = value.get("type") if isinstance(value, Mapping) else None
        return str((self._level.port(name, key) or {}).get("type") or own or "")

    def _made(self, step: str, output: str) -> str:
        """The type of an output; '' where only the server knows it, and of what is not there."""
        if step not in self._level.nodes:
            return ""
        return (self._level.output_types(self._level.owners.get(step, step)) or {}).get(output, "")

    def _source(self, value: Any) -> binding.Binding | None:
        """Where a value comes from, through other steps' inputs."""
        for _ in range(len(self._names) + 1):
            found = binding.only(binding.legacy(binding.value_of(value)))
            if not isinstance(found, StepInput) or found.step not in self._level.nodes:
                return found
            inputs = self._level.nodes[found.step].get("inputs")
            value = inputs.get(found.input) if isinstance(inputs, Mapping) else None
        return None

    def sampled(self, name: str) -> set[str]:
        """Inputs whose value is nobody's yet."""
        inputs = self._level.nodes[name].get("inputs")
        return {
            key
            for key, value in (inputs.items() if isinstance(inputs, Mapping) else ())
            if isinstance(found := self._source(value), ParentInput) and found.name in self._level.sampled
        }

    def without(self, name: str, bad: set[str]) -> Level:
        """The level with something in place of what is wrong, so that the rest of the step can be looked at."""
        level = self._level
        node = dict(level.nodes[name])
        node["inputs"] = {
            key: self._stand_in(name, key) if key in bad else value for key, value in node["inputs"].items()
        }
        return replace(level, nodes={**level.nodes, name: node})

    def _stand_in(self, name: str, key: str) -> Any:
        value = self._level.nodes[name]["inputs"][key]
        source = self._source(value)
        made = self._made(source.step, source.output) if isinstance(source, StepOutput) else ""
        return stand_in(self._wanted(name, key, value) or made)

    def depends(self, name: str) -> None:
        """`depends_on`: order without data."""
        given, place = self._level.nodes[name].get("depends_on"), f"{self._level.place(name)}/depends_on"
        listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        if given is not None and not listed and given != []:
            self.fault("WrongType", f"Expected a list of steps, found {show(given)}.", place, "Write [first, second].")
        for index, one in enumerate(listed):
            pointer = place if isinstance(given, str) else f"{place}/{index}"
            bound = binding.only(one)
            sibling = str(one) if bound is None else getattr(bound, "step", "")
            if sibling not in self._level.nodes:
                self.fault("StepUnknown", f"There is no step '{sibling}'.", pointer, near(sibling, self._names))
                continue
            self.waits(name, sibling, pointer)

    def circle(self) -> None:
        try:
            TopologicalSorter(self.needs).prepare()
        except CycleError as error:
            around = list(error.args[1])
            pointer = self._edges.get((around[1], around[0]), self._level.place(around[1]))
            self.fault(
                "StepsInACircle",
                f"Steps wait for each other in a circle: {' → '.join(around)}.",
                pointer,
                "Take one of these edges out.",
            )

    def sources(self) -> dict[str, tuple[StepOutput, ...]]:
        """Output of the pipeline → who makes it: one step, or one of each block of a choice."""
        level = self._level
        made: dict[str, tuple[StepOutput, ...]] = {name: (bound,) for name, bound in level.forwarded.items()}
        for name, bound in level.forwarded.items():
            place = f"/outputs/{escape(name)}"
            types = level.output_types(bound.step) if bound.step in level.nodes else None
            if bound.step not in level.nodes:
                self.fault("StepUnknown", f"There is no step '{bound.step}'.", place, near(bound.step, self._names))
            elif types is not None and bound.output not in types:
                message = f"The step '{bound.step}' has no output '{bound.output}'."
                self.fault("OutputUnknown", message, place, near(bound.output, list(types)))
        for step, node in level.nodes.items():
            outputs = node.get("outputs")
            for output, value in outputs.items() if isinstance(outputs, Mapping) else ():
                bound = binding.only(binding.legacy(binding.value_of(value)))
                if isinstance(bound, ParentOutput):
                    own = StepOutput(level.owners.get(step, step), output)
                    self._check_alone(
                        own, made.get(bound.name, ()), bound.name, f"{level.place(step)}/outputs/{escape(output)}"
                    )
                    made[bound.name] = (*made.get(bound.name, ()), own)
        if not level.at:
            return made  # a job may declare what it does not make, as the founding documents do: `notes` says so
        for name in level.outputs:
            if name not in made:
                place = f"{level.at}/outputs/{escape(name)}"
                self.fault(
                    "OutputUnmade",
                    f"No step makes the pipeline's output '{name}'.",
                    place,
                    f"In the step that does, write 'outputs: {{<its output>: ${{{{parent.outputs.{name}}}}}}}'.",
                )
        return made

    def _check_alone(self, own: StepOutput, others: tuple[StepOutput, ...], name: str, place: str) -> None:
        mine = self.chosen.get(own.step, {})
        for other in others:
            theirs = self.chosen.get(other.step, {})
            if not any(choice in theirs and theirs[choice] != wanted for choice, wanted in mine.items()):
                self.fault("OutputMadeTwice", f"The output '{name}' is made by '{other.step}' already.", place)

    def fault(self, code: str, message: str, pointer: str, remedy: str | None = None) -> None:
        self.found.append(Fault(code, message, pointer, remedy))


def _type_of(value: Any) -> str:
    """The type of a pipeline's input: 'literal' for one that is no data."""
    if isinstance(value, Mapping):
        return str(value.get("type", "uri_folder"))
    return "literal"


def _clash(wanted: str, source: str) -> bool:
    """Folders, files and tables stand for each other (semantics §12), and a value's file for them; models do not."""
    if wanted in LITERAL_TYPES or source == "literal":  # what a step wrote is looked at when it is there
        return wanted not in LITERAL_TYPES or source not in ("literal", *LITERAL_TYPES)
    if wanted in (*DATA_TYPES, "path") or source in DATA_TYPES:
        return False
    return wanted != source


def _said(source: str) -> str:
    return "a literal" if source == "literal" else f"data of type {source}"
