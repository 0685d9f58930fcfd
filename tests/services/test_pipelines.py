"""Pipelines in the server: completed with registered components, checked whole."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.kit.errors import MayflyError
from mayfly.services import components, submissions
from mayfly.testing.world import HERE, Scene
from mayfly.wire.mayfly import Submission

ENVIRONMENT = {"image": "library/python:latest"}
BODY: dict[str, Any] = {
    "name": "train",
    "command": "echo ${{inputs.n}}",
    "code": "./src",
    "environment": ENVIRONMENT,
    "inputs": {"n": {"type": "integer", "max": 5}},
    "outputs": {"model": {"type": "uri_folder"}},
}


def register(stage: Scene, body: dict[str, Any] = BODY, place: str = "/component/code") -> None:
    ask = Submission(definition={"component": body}, uploads={place: stage.upload(a=b"1")})
    components.create(stage.world, "me", HERE, ask)


def notes(stage: Scene, jobs: dict[str, Any], **keys: Any) -> list[str]:
    ask = Submission(definition={"type": "pipeline", "jobs": jobs, **keys})
    return submissions.notes(stage.world, HERE, ask)


def test_registered_components_are_put_in_their_places(stage: Scene) -> None:
    register(stage)
    inner = {
        "type": "pipeline",
        "name": "inner",
        "inputs": {"n": {"type": "integer"}},
        "jobs": {"fit": {"component": "azureml:train@latest", "inputs": {"n": "${{parent.inputs.n}}"}}},
    }
    components.create(stage.world, "me", HERE, Submission(definition={"component": inner}))
    said = notes(stage, {"outer": {"component": "azureml:inner:1", "inputs": {"n": 2}}}, compute="serverless")
    assert not [note for note in said if "serverless" in note]
    with pytest.raises(MayflyError) as raised:
        notes(stage, {"outer": {"component": "azureml:inner:1", "inputs": {"n": "x"}}})
    assert [fault.pointer for fault in raised.value.all_faults()] == ["/jobs/outer/inputs/n"]


def test_everything_wrong_is_in_one_answer(stage: Scene) -> None:
    register(stage)
    step = {"command": "true", "environment": ENVIRONMENT}
    jobs = {
        "a": {"component": "azureml:trian"},
        "b": {"component": "azureml:train:1", "inputs": {"n": 9}},
    }
    with pytest.raises(MayflyError) as raised:
        notes(stage, jobs)
    found = {(fault.code, fault.pointer) for fault in raised.value.all_faults()}
    assert found == {("AssetNotFound", "/jobs/a/component"), ("InvalidValue", "/jobs/b/inputs/n")}
    jobs = {
        "a": {**step, "resources": {"instance_type": "Standard_Nope"}},
        "b": {**step, "inputs": {"x": {"path": "azureml:nothing:1"}}},
    }
    with pytest.raises(MayflyError) as raised:
        notes(stage, jobs)
    found = {fault.pointer for fault in raised.value.all_faults()}
    assert found == {"/jobs/a/resources/instance_type", "/jobs/b/inputs/x/path"}
