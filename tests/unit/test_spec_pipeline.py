"""The pipeline's language: what each step is given, and everything that can be wrong before anything starts."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mayfly.kit.errors import Invalid
from mayfly.spec import pipeline
from mayfly.spec.child import child_of
from mayfly.spec.pipeline import Pipeline

ENVIRONMENT = {"image": "library/python:latest"}
TRAIN: dict[str, Any] = {
    "command": "cat ${{inputs.data}} $[[ -n ${{inputs.n}} ]] > ${{outputs.model}}",
    "environment": ENVIRONMENT,
    "code": "./src",
    "inputs": {"data": {"type": "uri_folder"}, "n": {"type": "integer", "optional": True}},
    "outputs": {"model": {"type": "uri_file"}},
}
INNER: dict[str, Any] = {
    "type": "pipeline",
    "inputs": {"raw": {"type": "uri_folder"}, "where": {"type": "string", "default": "serverless"}},
    "outputs": {"best": {"type": "uri_file"}},
    "jobs": {
        "fit": {
            "component": TRAIN,
            "compute": "${{parent.inputs.where}}",
            "inputs": {"data": "${{parent.inputs.raw}}"},
            "outputs": {"model": "${{parent.outputs.best}}"},
        }
    },
}
WHOLE: dict[str, Any] = {
    "type": "pipeline",
    "inputs": {"n": 3, "table": {"type": "uri_file", "path": "./table.csv"}},
    "outputs": {"model": {"mode": "upload", "name": "mine"}},
    "settings": {"default_compute": "azureml:serverless", "default_datestore": "a real file's typo"},
    "jobs": {
        "prep-it": {
            "command": "cp ${{inputs.t}} ${{outputs.out}}",
            "environment": ENVIRONMENT,
            "inputs": {"t": {"path": "${{parent.inputs.table}}", "mode": "download"}, "again": "${{parent.inputs.n}}"},
            "outputs": {"out": None},
        },
        "train": {
            "component": TRAIN,
            "inputs": {"data": "${{parent.jobs.prep-it.outputs.out}}", "n": "${{parent.inputs.n}}"},
            "outputs": {"model": "${{parent.outputs.model}}"},
        },
        "inner": {"type": "pipeline", "component": INNER, "inputs": {"raw": "${{parent.inputs.table}}"}},
        "last": {"command": "true", "environment": ENVIRONMENT, "depends_on": ["inner", "train"]},
    },
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    whole = copy.deepcopy(WHOLE)
    at: Any = whole
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = to
    return whole


def faults(definition: dict[str, Any]) -> list[tuple[str, str | None]]:
    with pytest.raises(Invalid) as raised:
        pipeline.parse(definition)
    return [(fault.code, fault.pointer) for fault in raised.value.all_faults()]


def made(definition: dict[str, Any] = WHOLE) -> Pipeline:
    return pipeline.parse(definition)


def test_a_step_waits_for_what_it_reads_and_for_what_it_names() -> None:
    needs = {name: dict(step.needs) for name, step in made().steps.items()}
    assert needs == {
        "prep-it": {},
        "train": {"prep-it": True},
        "inner": {},
        "last": {"inner": True, "train": True},
    }


def test_an_optional_input_makes_an_optional_edge() -> None:
    component = {**TRAIN, "inputs": {"data": {"type": "uri_folder", "optional": True}}}
    component["command"] = "echo $[[${{inputs.data}}]] > ${{outputs.model}}"
    whole = changed("jobs", "train", "component", to=component)
    del whole["jobs"]["train"]["inputs"]["n"]
    found = made(whole)
    assert dict(found.steps["train"].needs) == {"prep-it": False}
    child = child_of(found.level, "train", lambda _step, _output, _value: None)
    assert child.definition["inputs"] == {}


def test_an_input_without_its_braces_is_text_and_said_to_be() -> None:
    whole = changed(
        "jobs", "train", "component", to={**TRAIN, "command": "x $[[inputs.n]] ${{inputs.data}} > ${{outputs.model}}"}
    )
    found = made(whole)
    train = found.steps["train"]
    assert train.expanded is not None and train.expanded.definition["command"].startswith("x inputs.n ")
    assert (
        "train: $[[inputs.n]]: the command gets the text 'inputs.n', for a value is written ${{inputs.n}}"
        in found.notes()
    )


def test_a_child_is_given_values_places_and_the_pipelines_settings() -> None:
    found = made().level
    prep = child_of(found, "prep-it", lambda step, output, _value: f"azureml://jobs/{step}_1/outputs/{output}")
    assert prep.definition["inputs"] == {
        "t": {"type": "uri_file", "path": "./table.csv", "mode": "download"},
        "again": 3,
    }
    assert prep.moved == {"/inputs/t/path": "/inputs/table/path"}
    train = child_of(found, "train", lambda step, output, _value: f"azureml://jobs/{step}_1/outputs/{output}")
    assert train.definition["inputs"]["data"] == {"type": "uri_folder", "path": "azureml://jobs/prep-it_1/outputs/out"}
    assert (train.definition["inputs"]["n"], train.definition["compute"]) == (3, "azureml:serverless")
    assert train.definition["outputs"] == {"model": {"mode": "upload", "name": "mine"}}
    inner = child_of(found, "inner", lambda _step, _output, _value: "")
    assert inner.definition["settings"]["default_compute"] == "azureml:serverless"
    fit = made().steps["inner"].job
    assert isinstance(fit, Pipeline)
    assert fit.steps["fit"].definition["compute"] == "serverless"


def test_what_must_be_sent_is_named_where_it_was_written() -> None:
    assert {pointer: path.path for pointer, path in made().local_paths().items()} == {
        "/inputs/table/path": "./table.csv",
        "/jobs/train/component/code": "./src",
        "/jobs/inner/component/jobs/fit/component/code": "./src",
    }
    assert [path for path, _, _ in made().commands()] == ["prep-it", "train", "inner/fit", "last"]


def test_the_pipelines_datastore_is_its_steps_own() -> None:
    found = made(changed("settings", to={"default_datastore": "azureml:mine"}))
    told = child_of(found.level, "train", lambda _step, _output, _value: "x").definition["outputs"]["model"]
    assert told["path"] == "azureml://datastores/mine/paths/azureml/${{name}}/${{output_name}}"
    assert any("serverless compute is used" in note for note in found.notes())


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (
            changed("jobs", "train", "inputs", "data", to="${{parent.jobs.prep.outputs.out}}"),
            ("StepUnknown", "/jobs/train/inputs/data"),
        ),
        (
            changed("jobs", "train", "inputs", "data", to={"path": "${{parent.jobs.prep-it.outputs.oot}}"}),
            ("OutputUnknown", "/jobs/train/inputs/data/path"),
        ),
        (
            changed("jobs", "train", "inputs", "n", to="${{parent.inputs.m}}"),
            ("InputUndefined", "/jobs/train/inputs/n"),
        ),
        (changed("jobs", "train", "inputs", "n", to="many"), ("InvalidValue", "/jobs/train/inputs/n")),
        (
            changed("jobs", "train", "inputs", "n", to="${{parent.jobs.prep-it.outputs.out}}"),
            ("TypesClash", "/jobs/train/inputs/n"),
        ),
        (
            changed("jobs", "train", "inputs", "data", to={"path": "${{parent.jobs.prep-it.outputs.out}}/sub"}),
            ("ExpressionMisplaced", "/jobs/train/inputs/data/path"),
        ),
        (changed("jobs", "train", "inputs", to={"n": 1}), ("InputMissing", "/jobs/train/inputs")),
        (
            changed("jobs", "inner", "component", "jobs", "fit", "outputs", to=None),
            ("OutputUnmade", "/jobs/inner/component/outputs/best"),
        ),
        (changed("jobs", "train", "outputs", "mdl", to=None), ("OutputUnknown", "/jobs/train/outputs/mdl")),
        (changed("jobs", "last", "depends_on", to="trian"), ("StepUnknown", "/jobs/last/depends_on")),
        (changed("jobs", "last", "type", to="sweep"), ("StepTypeNotSupported", "/jobs/last/type")),
        (changed("jobs", "last", "comand", to="x"), ("UnknownKey", "/jobs/last/comand")),
        (changed("jobs", "1st", to={"command": "true", "environment": ENVIRONMENT}), ("StepNameInvalid", "/jobs/1st")),
        (changed("settings", "force_rerun", to="maybe"), ("WrongType", "/settings/force_rerun")),
        (changed("jobz", to={}), ("UnknownKey", "/jobz")),
        (changed("jobs", to={}), ("StepsMissing", "/jobs")),
        (
            changed("jobs", "inner", "component", "jobs", "fit", "inputs", "data", to="${{parent.inputs.rwa}}"),
            ("InputUndefined", "/jobs/inner/component/jobs/fit/inputs/data"),
        ),
        (changed("jobs", "inner", "inputs", to=None), ("InputMissing", "/jobs/inner/component")),
    ],
)
def test_a_fault_stands_where_it_was_written(definition: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in faults(definition)


def test_a_key_that_only_a_component_knows_is_told_from_those_there_are() -> None:
    with pytest.raises(Invalid) as raised:
        made(changed("inputs", "table", "optional", to=True))
    remedy = "Valid keys here: datastore, mode, path, path_on_compute, type."
    assert remedy in [fault.remedy for fault in raised.value.all_faults()]


def test_a_value_is_asked_for_as_it_would_be_written() -> None:
    wrong = changed("jobs", "train", "inputs", "n", to="${{parent.jobs.prep-it.outputs.out}}")
    with pytest.raises(Invalid) as raised:
        made(wrong)
    remedy = "Declare the output as 'out: {type: integer}' and write the value into that file."
    assert raised.value.all_faults()[0].remedy == remedy
    wrong["jobs"]["prep-it"]["outputs"] = {"out": {"type": "integer"}}
    wrong["jobs"]["train"]["inputs"]["data"] = "${{parent.inputs.table}}"
    assert made(wrong).steps["train"].needs == {"prep-it": False}


def test_a_job_may_declare_an_output_that_nobody_makes() -> None:
    assert (
        "outputs.model: no step makes it; it stays empty" in made(changed("jobs", "train", "outputs", to=None)).notes()
    )


def test_one_fault_is_one_line() -> None:
    """What follows from another fault is not said."""
    assert faults(changed("jobs", "train", "inputs", "data", to="${{parent.jobs.prep.outputs.out}}")) == [
        ("StepUnknown", "/jobs/train/inputs/data")
    ]


def test_a_circle_is_shown_as_a_path() -> None:
    whole = changed("jobs", "prep-it", "inputs", "t", to="${{parent.jobs.train.outputs.model}}")
    with pytest.raises(Invalid) as raised:
        pipeline.parse(whole)
    fault = raised.value.all_faults()[0]
    assert fault.code == "StepsInACircle"
    assert "prep-it → train → prep-it" in fault.message or "train → prep-it → train" in fault.message
    assert fault.pointer in ("/jobs/prep-it/inputs/t", "/jobs/train/inputs/data")


def test_an_inner_circle_of_inputs_ends() -> None:
    jobs = {
        name: {"command": "true", "environment": ENVIRONMENT, "inputs": {"x": f"${{{{parent.jobs.{other}.inputs.x}}}}"}}
        for name, other in (("a", "b"), ("b", "a"))
    }
    assert {code for code, _ in faults({"type": "pipeline", "jobs": jobs})} == {"InputUndefined"}


def test_every_fault_is_in_one_answer() -> None:
    whole = changed("jobs", "train", "inputs", "n", to="many")
    whole["jobs"]["last"]["depends_on"] = ["x"]
    whole["jobs"]["inner"]["component"]["jobs"]["fit"]["environment_variables"] = 3
    assert {code for code, _ in faults(whole)} == {"InvalidValue", "StepUnknown", "WrongType"}


def test_a_component_by_itself_needs_a_name_and_no_values() -> None:
    assert pipeline.read_component({**INNER, "name": "best_of"}).steps.keys() == {"fit"}
    with pytest.raises(Invalid) as raised:
        pipeline.read_component(INNER)
    assert [fault.pointer for fault in raised.value.all_faults()] == ["/component/name"]


def test_only_the_server_knows_some_components() -> None:
    whole = changed("jobs", "train", "component", to="azureml:train@latest")
    whole["jobs"]["train"]["inputs"]["own"] = {"path": "./own"}
    found = made(whole)
    assert found.steps["train"].job is None
    assert found.local_paths()["/jobs/train/inputs/own/path"].path == "./own"
    assert faults(changed("jobs", "train", "component", to=7)) == [("WrongType", "/jobs/train/component")]


def test_a_long_chain_is_no_depth() -> None:
    step = {"command": "true", "environment": ENVIRONMENT}
    jobs = {f"s{n}": {**step, "depends_on": [f"s{n - 1}"]} if n else step for n in range(500)}
    assert len(made({"type": "pipeline", "jobs": jobs}).steps) == 500
