"""Control flow: what is refused and where, and what a loop does next."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mayfly.domain.job import Cause, JobState
from mayfly.domain.loop import Rounds, next_in_turn, next_of_all
from mayfly.domain.pipeline import Action, Cancel, Child, End, Start
from mayfly.kit.errors import Invalid
from mayfly.spec import pipeline

ENVIRONMENT = {"image": "library/python:latest"}
BODY: dict[str, Any] = {
    "command": "cat ${{inputs.d}} ${{inputs.n}}",
    "environment": ENVIRONMENT,
    "code": "./src",
    "inputs": {"d": {"type": "uri_folder"}, "n": {"type": "integer", "max": 9}},
    "outputs": {"d": {"type": "uri_folder"}, "ok": {"type": "boolean", "is_control": True}},
}
GIVEN = {"d": "${{parent.jobs.first.outputs.o}}", "n": 1}
WHOLE: dict[str, Any] = {
    "type": "pipeline",
    "jobs": {
        "first": {"command": "true", "environment": ENVIRONMENT, "outputs": {"o": None}},
        "body": {"component": BODY, "inputs": GIVEN},
        "loop": {
            "type": "do_while",
            "body": "${{parent.jobs.body}}",
            "condition": "${{parent.jobs.body.outputs.ok}}",
            "mapping": {"d": "d"},
            "limits": {"max_iteration_count": 3},
            "_source": "DSL",
        },
        "one": {"component": BODY, "inputs": {"d": "${{parent.jobs.first.outputs.o}}"}},
        "each": {"type": "parallel_for", "body": "${{parent.jobs.one}}", "items": [{"n": 1}, {"n": 2}]},
        "which": {
            "type": "if_else",
            "condition": "${{parent.jobs.loop.outputs.ok}}",
            "true_block": "${{parent.jobs.each}}",
        },
    },
}


def changed(step: str, **keys: Any) -> dict[str, Any]:
    whole = copy.deepcopy(WHOLE)
    whole["jobs"][step] |= keys
    return whole


def test_loops_stand_in_the_graph_for_their_bodies() -> None:
    made = pipeline.parse(WHOLE)
    assert {name: dict(step.needs) for name, step in made.steps.items()} == {
        "first": {},
        "loop": {"first": True},
        "each": {"first": True, "which": True},
        "which": {"loop": True},
    }
    assert made.chosen == {"each": {"which": True}}
    assert set(made.local_paths()) == {"/jobs/body/component/code", "/jobs/one/component/code"}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (
            changed("which", condition="${{parent.jobs.first.outputs.o}}"),
            ("ConditionNotControl", "/jobs/which/condition"),
        ),
        (changed("which", condition="${{parent.jobs.frist.outputs.o}}"), ("StepUnknown", "/jobs/which/condition")),
        (changed("which", condition="maybe"), ("ConditionInvalid", "/jobs/which/condition")),
        (changed("which", true_block="${{parent.jobs.eahc}}"), ("StepUnknown", "/jobs/which/true_block")),
        (changed("which", false_block=["${{parent.jobs.each}}"]), ("StepInBothBlocks", "/jobs/which/false_block/0")),
        (changed("which", true_block=None), ("BlocksMissing", "/jobs/which")),
        (changed("which", true_blck="x"), ("UnknownKey", "/jobs/which/true_blck")),
        (changed("which", true_block="${{parent.jobs.loop}}"), ("StepsInACircle", "/jobs/which/condition")),
        (changed("loop", body="${{parent.jobs.boddy}}"), ("StepUnknown", "/jobs/loop/body")),
        (changed("loop", body="${{parent.jobs.which}}"), ("BodyInvalid", "/jobs/loop/body")),
        (changed("loop", condition="d"), ("ConditionNotControl", "/jobs/loop/condition")),
        (changed("loop", mapping={"dd": "d"}), ("OutputUnknown", "/jobs/loop/mapping/dd")),
        (changed("loop", mapping={"d": ["x"]}), ("InputUnknown", "/jobs/loop/mapping/d")),
        (changed("loop", mapping={"d": ["n"]}), ("TypesClash", "/jobs/loop/mapping/d")),
        (changed("loop", mapping={"d": "d", "ok": "d"}), ("InputMappedTwice", "/jobs/loop/mapping/ok")),
        (
            changed("loop", limits={"max_iteration_count": 0}),
            ("TooManyRounds", "/jobs/loop/limits/max_iteration_count"),
        ),
        (changed("loop", limits=None), ("MissingKey", "/jobs/loop/limits")),
        (changed("each", items=[{"n": 1}, {"n": 10}]), ("InvalidValue", "/jobs/each/items/1/n")),
        (changed("each", items='[{"n": 10}]'), ("InvalidValue", "/jobs/each/items")),
        (changed("each", items=[{"m": 1, "n": 1}]), ("InputUnknown", "/jobs/each/items/0/m")),
        (changed("each", items="[{]"), ("ItemsInvalid", "/jobs/each/items")),
        (changed("each", items=[]), ("ItemsInvalid", "/jobs/each/items")),
        (changed("each", items=[{"n": 1, "d": {"path": "./x"}}]), ("ItemsInvalid", "/jobs/each/items/0/d")),
        (changed("each", items=[{"n": 1}] * 1001), ("TooManyRounds", "/jobs/each/items")),
        (changed("each", items="${{parent.jobs.first.outputs.o}}"), ("ConditionNotControl", "/jobs/each/items")),
        (changed("each", items="${{parent.jobs.one.outputs.ok}}"), ("StepsInACircle", "/jobs/each/items")),
    ],
)
def test_a_fault_of_control_flow_stands_where_it_was_written(
    definition: dict[str, Any], expected: tuple[str, str]
) -> None:
    with pytest.raises(Invalid) as raised:
        pipeline.parse(definition)
    assert expected in [(fault.code, fault.pointer) for fault in raised.value.all_faults()]


DONE, RUNS, FAILED = Child(JobState.COMPLETED), Child(JobState.RUNNING), Child(JobState.FAILED, "It broke.")
BROKE = End(Cause("StepFailed", "The round 'a' failed: It broke."))


@pytest.mark.parametrize(
    ("children", "rounds", "cancelling", "expected"),
    [
        ({}, Rounds("abc"), False, [Start("a"), Start("b"), Start("c")]),
        ({"a": RUNS}, Rounds("abc", 2), False, [Start("b")]),
        ({"a": RUNS, "b": RUNS}, Rounds("abc", 2), False, []),
        ({"a": FAILED}, Rounds("ab", 1), False, [Start("b")]),
        ({"a": FAILED, "b": RUNS}, Rounds("abc", 2, False), False, [Cancel("b")]),
        ({"a": FAILED, "b": DONE}, Rounds("ab"), False, [BROKE]),
        ({"a": DONE, "b": RUNS}, Rounds("abc"), True, [Cancel("b")]),
        ({"a": DONE, "b": DONE}, Rounds("ab"), False, [End(None)]),
    ],
)
def test_rounds_at_once(children: dict[str, Child], rounds: Rounds, cancelling: bool, expected: list[Action]) -> None:
    assert list(next_of_all(rounds, children, cancelling=cancelling)) == expected


@pytest.mark.parametrize(
    ("children", "again", "cancelling", "expected"),
    [
        ({}, True, False, [Start("a")]),
        ({}, True, True, [End(None)]),
        ({"a": RUNS}, True, False, []),
        ({"a": RUNS}, True, True, [Cancel("a")]),
        ({"a": DONE}, True, False, [Start("b")]),
        ({"a": DONE}, True, True, [End(None)]),
        ({"a": DONE}, False, False, [End(None)]),
        ({"a": DONE, "b": DONE}, True, False, [End(None)]),
        ({"a": FAILED}, True, False, [BROKE]),
    ],
)
def test_rounds_in_turn(children: dict[str, Child], again: bool, cancelling: bool, expected: list[Action]) -> None:
    assert list(next_in_turn("ab", children, again, cancelling=cancelling)) == expected
