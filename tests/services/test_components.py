"""Components in the server: registered with their code, found by version, label and registry, made into jobs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from flow_by_hand import Flow

from mayfly.kit.errors import Conflict, Invalid, MayflyError, NotFound
from mayfly.services import components, submissions, submit
from mayfly.spec.settings import Settings
from mayfly.store import codec
from mayfly.testing.world import HERE, Scene
from mayfly.wire.mayfly import Submission

BODY: dict[str, Any] = {
    "name": "train",
    "command": "echo ${{inputs.n}}",
    "code": "./src",
    "environment": {"image": "library/python:latest"},
    "inputs": {"n": {"type": "integer", "max": 5}},
}


def register(stage: Scene, tree: str, **changes: Any) -> str:
    ask = Submission(definition={"component": {**BODY, **changes}}, uploads={"/component/code": tree})
    return components.create(stage.world, "me", HERE, ask)[0].version


def run(stage: Scene, reference: Any, uploads: dict[str, str] | None = None, **keys: Any) -> dict[str, Any]:
    """What the ranks of the job will be told."""
    ask = Submission(definition={"component": reference, "inputs": {"n": 1}, **keys}, uploads=uploads or {})
    with components.expanded(stage.world, HERE, ask) as plain:
        row, _ = submit.submit(stage.world, "me", HERE, plain)
    return {**codec.load(row.work), "properties": row.properties}


def test_a_registered_component_runs_with_its_own_code(stage: Scene) -> None:
    first, second = stage.upload(a=b"1"), stage.upload(a=b"2")
    assert (register(stage, first), register(stage, second)) == ("1", "2")
    latest, old = run(stage, "azureml:train@latest"), run(stage, "azureml:train:1", inputs={"n": "2"})
    assert (latest["code"], old["code"]) == (second, first)
    assert (latest["properties"], old["literals"]) == ({"mayfly.component": "train:2"}, {"n": "2"})
    other = stage.upload(b=b"3")
    assert run(stage, "azureml:train", {"/code": other}, code="./mine")["code"] == other
    inline = run(stage, BODY, {"/component/code": first})
    assert (inline["code"], inline["properties"]) == (first, {})


def test_a_version_means_one_component_for_ever(stage: Scene) -> None:
    tree = stage.upload(a=b"1")
    assert register(stage, tree, version="3") == register(stage, tree, version="3") == "3"
    with pytest.raises(Conflict) as raised:
        register(stage, stage.upload(a=b"2"), version="3")
    assert raised.value.code == "AssetVersionTaken"


@pytest.mark.parametrize(
    ("reference", "keys", "code", "pointer"),
    [
        ("azureml:trian", {}, "AssetNotFound", "/component"),
        ("azureml:train:9", {}, "AssetVersionNotFound", "/component"),
        ("azureml://registries/nowhere/components/train/labels/latest", {}, "RegistryNotFound", "/component"),
        ("azureml://datastores/a/paths/b", {}, "ComponentInvalid", "/component"),
        ("azureml:train:1", {"inputs": {"n": 6}}, "InvalidValue", "/inputs/n"),
        ("azureml:train:1", {"environment": "azureml:none@latest"}, None, "/environment"),
        ("azureml:train:1", {"resources": {"instance_type": "Standard_Nope"}}, None, "/resources/instance_type"),
    ],
)
def test_refusals_point_to_what_was_written(
    stage: Scene, reference: str, keys: dict[str, Any], code: str | None, pointer: str
) -> None:
    register(stage, stage.upload(a=b"1"))
    with pytest.raises(MayflyError) as raised:
        run(stage, reference, **keys)
    fault = raised.value.all_faults()[0]
    assert (code or fault.code, pointer) == (fault.code, fault.pointer)


def test_code_that_was_not_sent_is_asked_for(stage: Scene) -> None:
    with pytest.raises(Invalid) as raised:
        register(stage, "0" * 64)
    assert raised.value.code == "UploadMissing"


def test_a_registry_is_a_folder_whose_newest_version_is_the_latest(stage: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    for version in ("1.9", "1.10"):
        place = folder / "components" / version
        (place / "src").mkdir(parents=True)
        (place / "src" / "t.py").write_text(version)
        (place / "conda.yml").write_text("dependencies: [pip]\n")
        (place / "c.yml").write_text(
            f"name: train\nversion: '{version}'\ncommand: echo ${{{{inputs.n}}}}\ncode: src\n"
            "environment: {image: library/python:latest, conda_file: conda.yml}\ninputs: {n: {type: integer}}\n"
        )
    (folder / "broken.yml").write_text("{")
    stage.world = dataclasses.replace(stage.world, settings=lambda: Settings(registries={"mine": str(folder)}))
    newest = run(stage, "azureml://registries/mine/components/train/labels/latest")
    older = run(stage, "azureml://registries/mine/components/train/versions/1.9")
    assert newest["properties"] == {"mayfly.component": "mine/train:1.10"}
    assert newest["code"] != older["code"]
    with pytest.raises(NotFound) as raised:
        run(stage, "azureml://registries/mine/components/train/versions/2")
    assert "1.9, 1.10" in str(raised.value.remedy)


def test_a_pipeline_of_a_registry_brings_its_components_and_files(stage: Scene, tmp_path: Path) -> None:
    """As a step and as the whole, its own steps naming files, references and nothing but a command."""
    folder = tmp_path / "registry" / "components"
    for name in ("src", "own"):
        (folder / name).mkdir(parents=True)
        (folder / name / "t.py").write_text(name)
    environment = "environment: {image: library/python:latest}"
    (folder / "train.yml").write_text(
        f"name: train\nversion: '2'\ncommand: echo ${{{{inputs.n}}}}\ncode: src\n{environment}\n"
        "inputs: {n: {type: integer}}\n"
    )
    (folder / "whole.yml").write_text(
        "name: whole\nversion: '3'\ntype: pipeline\ninputs: {n: {type: integer}}\njobs:\n"
        "  file: {component: ./train.yml, inputs: {n: '${{parent.inputs.n}}'}}\n"
        "  named: {component: 'azureml://registries/mine/components/train/versions/2', inputs: {n: 1}}\n"
        f"  bare:\n    command: ls ${{{{inputs.n}}}}\n    code: own\n    {environment}\n    inputs: {{n: 2}}\n"
    )
    stage.world = dataclasses.replace(
        stage.world, settings=lambda: Settings(registries={"mine": str(tmp_path / "registry")})
    )
    named = {"component": "azureml://registries/mine/components/whole/versions/3", "inputs": {"n": 7}}
    for definition in ({"type": "pipeline", **named}, {"type": "pipeline", "jobs": {"in": named}}):
        flow = Flow(stage, {**definition, "settings": {"force_rerun": True}})
        inner = ["in"] if "jobs" in definition else []
        work = {name: codec.load(flow.child(*inner, name).work) for name in ("file", "named", "bare")}
        code, own = stage.upload(**{"t.py": b"src"}), stage.upload(**{"t.py": b"own"})
        assert {name: one["code"] for name, one in work.items()} == {"file": code, "named": code, "bare": own}
        assert work["file"]["literals"] == {"n": "7"}
    (folder / "circle.yml").write_text("name: circle\ntype: pipeline\njobs: {a: {component: circle.yml}}\n")
    circle = {"type": "pipeline", "component": "azureml://registries/mine/components/circle/labels/latest"}
    with pytest.raises(Invalid, match="stands in itself"):
        submissions.accept(stage.world, "me", HERE, Submission(definition=circle))


def test_a_registry_reads_nothing_outside_of_its_folder(stage: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    (folder / "components").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (folder / "components" / "c.yml").write_text(
        "name: train\ncommand: ls\ncode: ../../secret\nenvironment: {image: library/python:latest}\n"
    )
    stage.world = dataclasses.replace(stage.world, settings=lambda: Settings(registries={"mine": str(folder)}))
    with pytest.raises(Invalid) as raised:
        run(stage, "azureml://registries/mine/components/train/labels/latest", inputs={})
    assert (raised.value.code, raised.value.pointer) == ("RegistryPathOutside", "/component")
