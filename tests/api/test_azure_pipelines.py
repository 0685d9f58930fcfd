"""Pipelines by the doors shaped as Azure's: steps in their own form become steps of job files, and run as those would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure_client import WS, signed_in

from mayfly.api.azureml import pipeline as as_written
from mayfly.services import jobs
from mayfly.services.places import Place
from mayfly.store import codec
from mayfly.testing.serving import House

HERE = Place("sub", "rg", "ws")
HISTORY = f"/history/v1.0{WS}"
COMPONENT = f"{WS}/components/azureml_anonymous/versions/one"


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with signed_in(house) as client:
        spec = {
            "_source": "BUILDER",
            "name": "train_it",
            "type": "command",
            "command": "echo ${{inputs.rate}} > ${{outputs.model}}/m",
            "environment": "azureml:library/python:latest",
            "inputs": {"rate": {"type": "number", "default": "0.1"}},
            "outputs": {"model": {"type": "uri_folder"}},
            "is_deterministic": True,
        }
        spec["environment"] = {"image": "library/python:latest"}
        answer = client.put(COMPONENT, json={"properties": {"componentSpec": spec, "isAnonymous": True}})
        assert answer.status_code == 201, answer.text
        yield client


def step(**more: Any) -> dict[str, Any]:
    given = {"rate": {"job_input_type": "literal", "value": "${{parent.inputs.rate}}"}}
    return {"_source": "BUILDER", "name": "t", "type": "command", "componentId": COMPONENT, "inputs": given, **more}


def pipeline(**jobs: Any) -> dict[str, Any]:
    inputs = {"rate": {"jobInputType": "literal", "value": "0.2"}}
    settings = {"_source": "DSL", "default_compute": f"{WS}/computes/cpu", "continue_on_step_failure": False}
    return {"properties": {"jobType": "Pipeline", "inputs": inputs, "jobs": jobs, "settings": settings}}


def test_a_step_says_in_its_own_form_how_it_runs(house: House, azure: httpx.Client) -> None:
    size = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2", "vmPriority": "LowPriority"}}
    azure.put(f"{WS}/computes/cpu", json={"properties": size})
    how = step(
        limits={"timeout": 300},
        resources={"instance_count": 2, "shm_size": "1g"},
        distribution={"distribution_type": "PyTorch", "process_count_per_instance": 2},
        queue_settings={"job_tier": "Standard", "priority": 3},
        identity={"identity_type": "UserIdentity"},
        services={"my_lab": {"job_service_type": "JupyterLab", "nodes": {"nodes_value_type": "All"}}},
        environment_variables={"X": "1"},
        outputs={"model": {"job_output_type": "uri_folder", "mode": "Upload", "name": "kept"}},
    )
    sent = pipeline(t=how, plain=step(outputs={"model": {"type": "literal", "value": "${{parent.outputs.out}}"}}))
    sent["properties"]["outputs"] = {"out": {"jobOutputType": "uri_folder"}}
    answer = azure.put(f"{WS}/jobs/whole", json=sent)
    assert answer.status_code == 201, answer.text
    assert answer.json()["properties"]["jobs"] == sent["properties"]["jobs"]
    kept = codec.load(jobs.find(house.stage.world, HERE, "whole").spec)
    assert kept["settings"] == {"default_compute": "serverless", "continue_on_step_failure": False}
    mine = {key: value for key, value in kept["jobs"]["t"].items() if key not in ("component", "properties")}
    assert mine == {
        "type": "command",
        "compute": "serverless",
        "limits": {"timeout": 300},
        "resources": {"instance_type": "Standard_DS3_v2", "instance_count": 2, "shm_size": "1g"},
        "distribution": {"type": "PyTorch", "process_count_per_instance": 2},
        "queue_settings": {"job_tier": "Standard", "priority": "high"},
        "identity": {"type": "user_identity"},
        "services": {"my_lab": {"job_service_type": "JupyterLab", "nodes": "All"}},
        "environment_variables": {"X": "1"},
        "inputs": {"rate": "${{parent.inputs.rate}}"},
        "outputs": {"model": {"type": "uri_folder", "mode": "upload", "name": "kept"}},
    }
    assert kept["jobs"]["plain"]["outputs"] == {"model": {"path": "${{parent.outputs.out}}"}}
    assert kept["jobs"]["plain"]["queue_settings"] == {"job_tier": "spot"}
    assert azure.put(f"{WS}/jobs/whole", json=sent).status_code == 200
    assert azure.put(f"{WS}/jobs/whole", json=pipeline(t=step())).status_code == 409


def test_every_fault_of_a_pipeline_is_told_by_its_place(azure: httpx.Client) -> None:
    wrong = step(inputs={"rate": {"job_input_type": "literal", "value": "${{parent.jobs.nobody.outputs.x}}"}})
    answer = azure.put(f"{WS}/jobs/bad", json=pipeline(t=wrong, swept={"type": "sweep", "trial": {}}))
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert {one["code"] for one in error["details"]} == {"StepUnknown", "StepTypeNotSupported"}
    assert azure.get(f"{WS}/jobs/bad").status_code == 404


def test_a_nested_pipeline_comes_as_a_component_of_the_same_form(house: House, azure: httpx.Client) -> None:
    node = step(inputs={"rate": {"job_input_type": "literal", "value": "${{parent.inputs.rate}}"}})
    spec = {
        "_source": "DSL",
        "name": "inner",
        "type": "pipeline",
        "inputs": {"rate": {"type": "number", "default": "0.3"}},
        "outputs": {"out": {"type": "uri_folder"}},
        "jobs": {"t": {**node, "outputs": {"model": {"type": "literal", "value": "${{parent.outputs.out}}"}}}},
    }
    there = f"{WS}/components/azureml_anonymous/versions/two"
    answer = azure.put(there, json={"properties": {"componentSpec": spec, "isAnonymous": True}})
    assert answer.status_code == 201, answer.text
    nested = {"name": "n", "type": "pipeline", "componentId": there, "inputs": {}}
    answer = azure.put(f"{WS}/jobs/outer", json=pipeline(n=nested))
    assert answer.status_code == 201, answer.text
    details = azure.get(f"{HISTORY}/runs/outer/details").json()
    assert (details["status"], details["rootRunId"]) == ("Running", "outer")
    log = azure.get(
        details["logFiles"]["logs/azureml/executionlogs.txt"].partition("://")[2].partition("/")[2].join(("/", ""))
    )
    assert (log.status_code, log.text) == (200, "")
    assert azure.get(f"{HISTORY}/runs/outer/children").json() == {"value": []}
    names = [f"azureml://jobs/{one}/outputs/out" for one in ("outer", "nobody")]
    asked = azure.post(
        f"/data/v1.0{WS}/dataversion/batchGetResolvedUris", json={"values": [*names, "nonsense", "a://b"]}
    )
    assert (asked.status_code, asked.json()) == (200, {"values": {}})


def test_a_pipeline_of_a_job_file_shows_its_steps_in_the_form_that_clients_send(
    house: House, azure: httpx.Client
) -> None:
    """What is shown, read back as a body, says what the file said."""
    steps = {
        "first": {
            "type": "command",
            "command": "echo ${{inputs.rate}} > ${{outputs.made}}/x",
            "environment": {"image": "library/python:latest"},
            "environment_variables": {"A": "b"},
            "inputs": {"rate": "${{parent.inputs.rate}}"},
            "outputs": {"made": {"type": "uri_folder", "mode": "rw_mount"}},
            "limits": {"timeout": 300},
        },
        "second": {
            "component": {
                "type": "command",
                "inputs": {"place": {"type": "uri_folder"}},
                "command": "ls ${{inputs.place}}",
            }
            | {"environment": {"image": "library/python:latest"}},
            "inputs": {"place": "${{parent.jobs.first.outputs.made}}"},
        },
    }
    written = {
        "type": "pipeline",
        "inputs": {"rate": 0.5},
        "settings": {"default_compute": "serverless"},
        "jobs": steps,
    }
    made = house.ask("POST", "jobs", json={"definition": written, "name": "ours"})
    assert made.status_code == 201, made.text
    there = WS.replace("/sub/", "/local/").replace("/rg/", "/local/").replace("/workspaces/ws", "/workspaces/default")
    told = azure.get(f"{there}/jobs/ours").json()["properties"]
    assert (told["jobType"], told["computeId"], list(told["jobs"])) == ("Pipeline", "serverless", ["first", "second"])
    back = as_written.steps(told["jobs"])
    unnamed = {key: value for key, value in steps["first"].items() if key not in ("command", "environment")}
    assert back["first"] == unnamed | {"component": f"azureml:{there}/components/azureml_anonymous/versions/ours.first"}
    assert back["second"]["component"].endswith("/azureml_anonymous/versions/ours.second")
    assert back["second"]["inputs"] == steps["second"]["inputs"]
