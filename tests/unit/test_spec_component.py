"""Components: what may stand in one, and the job that one becomes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import component, expansion

BASE = """
name: train
command: python t.py --d ${{inputs.data}} --e ${{inputs.epochs}} $[[--r ${{inputs.rate}}]] --o ${{outputs.model}}
code: ./src
environment: {image: library/python:latest}
inputs:
  data: {type: path}
  epochs: {type: integer, default: 3, min: 1, max: 10}
  rate: {type: number, optional: true}
outputs:
  model: {type: mlflow_model, mode: upload}
resources: {instance_count: 2, shm_size: 1g}
"""


def body(**changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load(BASE), **changes}


def made(text: str, **changes: Any) -> dict[str, Any]:
    return expansion.expand(component.read(body(**changes)), yaml.safe_load(text)).definition


def faults(text: str, **changes: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(Invalid) as raised:
        expansion.job_of({**yaml.safe_load(text), "component": body(**changes)})
    return [(fault.code, fault.pointer) for fault in raised.value.all_faults()]


def own_faults(**changes: Any) -> list[Fault]:
    with pytest.raises(Invalid) as raised:
        component.read(body(**changes), named=True)
    return list(raised.value.all_faults())


def test_the_component_gives_what_the_job_leaves_out() -> None:
    job = made("inputs: {data: {path: azureml:d:1}}")
    assert job["command"] == "python t.py --d ${{inputs.data}} --e ${{inputs.epochs}}  --o ${{outputs.model}}"
    assert job["inputs"] == {"data": {"type": "uri_folder", "path": "azureml:d:1"}, "epochs": 3}
    assert job["outputs"] == {"model": {"type": "mlflow_model", "mode": "upload"}}
    assert job["resources"] == {"instance_count": 2, "shm_size": "1g"}
    assert (job["code"], "name" in job) == ("./src", False)


def test_the_jobs_own_keys_win_key_by_key() -> None:
    job = made(
        "{inputs: {data: ./x, rate: 0.5, epochs: '4.0'}, outputs: {model: {mode: rw_mount, name: m}}, "
        "resources: {instance_count: 1}, command: 'echo ${{inputs.extra}} $[[${{inputs.rate}}]]', code: ./mine, "
        "environment: azureml:e:1, distribution: {type: pytorch}}".replace("rate: 0.5", "rate: 0.5, extra: 1")
    )
    assert job["command"] == "echo ${{inputs.extra}} ${{inputs.rate}}"
    assert job["inputs"] == {"data": {"type": "uri_folder", "path": "./x"}, "epochs": 4, "rate": 0.5, "extra": 1}
    assert job["outputs"]["model"] == {"type": "mlflow_model", "mode": "rw_mount", "name": "m"}
    assert job["resources"] == {"instance_count": 1, "shm_size": "1g"}
    assert (job["code"], job["environment"]) == ("./mine", "azureml:e:1")


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("integer", "3", 3), ("integer", 3.7, 3), ("integer", "3.7", 3), ("integer", "x", None), ("integer", "inf", None),
        ("number", "0.1", 0.1), ("number", 1, 1), ("number", "nan", None), ("number", True, None),
        ("boolean", "TRUE", True), ("boolean", False, False), ("boolean", "yes", None), ("boolean", 1, None),
        ("string", 5, "5"), ("string", True, "True"),
    ],
)  # fmt: skip
def test_literals_become_what_the_input_is(kind: str, given: Any, expected: Any) -> None:
    port = component.InputPort(type=kind)
    if expected is None:
        with pytest.raises(ValueError, match=r"number|true or false"):
            component.coerced(port, given)
    else:
        found = component.coerced(port, given)
        assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", [("InputMissing", "/component")]),
        ("inputs: {epochs: 2}", [("InputMissing", "/inputs")]),
        ("inputs: {data: ./d, epochs: 0}", [("InvalidValue", "/inputs/epochs")]),
        ("inputs: {data: ./d, epochs: eleven}", [("InvalidValue", "/inputs/epochs")]),
        ("inputs: {data: ./d, epochs: {path: x}}", [("InputKindWrong", "/inputs/epochs")]),
        ("inputs: {data: 5}", [("InputKindWrong", "/inputs/data")]),
        ("inputs: {data: ./d, epoch: 2}", [("InputUnknown", "/inputs/epoch")]),
        ("{inputs: {data: ./d}, outputs: {modle: {}}}", [("OutputUnknown", "/outputs/modle")]),
        ("{inputs: {data: ./d}, colour: red}", [("UnknownKey", "/colour")]),
        ("{inputs: {data: {path: ./d, mode: rw_mount}}}", [("ModeInvalid", "/inputs/data/mode")]),
    ],
)
def test_what_is_wrong_points_to_where_it_was_written(text: str, expected: list[tuple[str, str]]) -> None:
    assert faults(text) == expected


def test_a_fault_of_the_component_points_into_it() -> None:
    assert faults("inputs: {data: ./d}", environment="what is this") == [
        ("EnvironmentInvalid", "/component/environment")
    ]
    assert faults("inputs: {data: ./d}", command="echo ${{inputs.dat}}") == [("InputUndefined", "/component/command")]


@pytest.mark.parametrize(
    ("changes", "code", "pointer", "remedy"),
    [
        ({"name": "Train"}, "NameInvalid", "/name", "lower-case"),
        ({"name": None}, "MissingKey", "/name", "name:"),
        ({"typ": "command"}, "UnknownKey", "/typ", "type"),
        ({"type": "pipeline"}, "ComponentTypeNotSupported", "/type", "command"),
        ({"type": "comand"}, "ComponentTypeNotSupported", "/type", "'command'"),
        ({"inputs": {"a": {"type": "uri_fold"}}, "command": "x"}, "InvalidValue", "/inputs/a/type", "uri_file"),
        ({"inputs": {"a": {"type": "string", "enum": ["x"], "default": "y"}}, "command": "x"}, "InvalidValue", "/inputs/a/default", ""),
        ({"inputs": {"a": {"type": "integer", "min": 3, "max": 1}}, "command": "x"}, "InvalidValue", "/inputs/a/min", ""),
        ({"inputs": {"a": {"type": "integer", "min": "few"}}, "command": "x"}, "InvalidValue", "/inputs/a/min", ""),
        ({"inputs": {"a": {"type": "uri_file", "max": 1}}, "command": "x"}, "InvalidValue", "/inputs/a/max", ""),
        ({"command": "x $[[${{inputs.epochs}}]]"}, "ExpressionMisplaced", "/command", "optional: true"),
        ({"command": "x ${{inputs.rate}}"}, "ExpressionMisplaced", "/command", "$[["),
        ({"command": "x $[[--flag]]"}, "ExpressionInvalid", "/command", "without"),
        ({"command": "x $[[${{inputs.rate}}"}, "ExpressionInvalid", "/command", "]]"),
        ({"outputs": {"n": {"type": "numbr"}}, "command": "x"}, "InvalidValue", "/outputs/n/type", "number"),
        ({"inputs": {"path": {"type": "string"}}, "command": "x"}, "NameClashes", "/inputs/path", ""),
    ],
)  # fmt: skip
def test_what_no_component_may_say(changes: dict[str, Any], code: str, pointer: str, remedy: str) -> None:
    (fault,) = own_faults(**changes)
    assert (fault.code, fault.pointer) == (code, pointer)
    assert remedy in (fault.remedy or "")


def test_a_default_inside_a_fragment_keeps_it() -> None:
    inputs = {"rate": {"type": "number", "optional": True, "default": 0.1}, "n": {"type": "integer", "optional": True}}
    command = "x $[[--r ${{inputs.rate}}]] $[[--n ${{inputs.n}} --r ${{inputs.rate}}]]"
    job = made("{}", inputs=inputs, command=command, outputs={})
    assert job["command"] == "x --r ${{inputs.rate}} "
    assert job["inputs"] == {"rate": 0.1}


def test_pointers_go_both_ways() -> None:
    written = {
        "inputs": {"data": "./d"},
        "component": body(inputs={"data": {"type": "uri_file", "default": "./e"}}, command="x"),
    }
    expanded = expansion.expand(component.read(written["component"]), {"component": written["component"]})
    assert expanded.back("/inputs/data/path") == "/component/inputs/data/default"
    assert expanded.forward("/component/code") == "/code"
    assert expanded.back("/resources/shm_size") == "/component/resources/shm_size"
