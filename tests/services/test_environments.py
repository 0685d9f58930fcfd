"""Environments under a name: registered once, found by every reference, made when asked for."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.domain.references import AssetKind
from mayfly.engine.resolving import Resolving
from mayfly.kit.errors import Broken, Conflict, Invalid
from mayfly.services import assets, environments, registered, submit
from mayfly.services.assets import NewAsset
from mayfly.testing.nodes import until
from mayfly.testing.world import HERE, Scene
from mayfly.wire import mayfly as wire


def conda(*packages: str) -> dict[str, Any]:
    return {"image": "python:latest", "conda_file": {"dependencies": ["python", {"pip": list(packages)}]}}


def keep(stage: Scene, name: str, version: str | None, definition: dict[str, Any]) -> str:
    new = NewAsset(AssetKind.ENVIRONMENT, name, version, "", definition)
    return registered.register(stage.world, "ann", HERE, new)[0].version


def name_of(stage: Scene, reference: str) -> tuple[str, list[str]]:
    found = environments.wish(stage.world, reference, HERE)
    return found.name, found.definition["requirements"]


def test_a_registered_environment_is_found_by_every_reference(stage: Scene) -> None:
    assert keep(stage, "mine", None, {**conda("numpy"), "description": "x"}) == "1"
    assert keep(stage, "mine", None, conda("scipy")) == "2"
    assert name_of(stage, "azureml:mine:1") == ("mine:1", ["numpy"])
    for latest in ("azureml:mine@latest", "azureml:mine", "mine@latest", "mine"):
        assert name_of(stage, latest) == ("mine:2", ["scipy"])
    here = "subscriptions/local/resourceGroups/local/providers/Microsoft.MachineLearningServices/workspaces/default"
    assert name_of(stage, f"azureml:/{here}/environments/mine/versions/1") == ("mine:1", ["numpy"])
    assets.archive(stage.world, HERE, AssetKind.ENVIRONMENT, "mine", "2", archived=True)
    assert name_of(stage, "mine@latest") == ("mine:1", ["numpy"])


def test_what_the_workspace_has_comes_before_what_is_curated(stage: Scene) -> None:
    assert name_of(stage, "azureml:sklearn-1.5:1")[0] == "sklearn-1.5"
    keep(stage, "sklearn-1.5", "1", conda("numpy"))
    assert name_of(stage, "azureml:sklearn-1.5:1") == ("sklearn-1.5:1", ["numpy"])
    assert name_of(stage, "azureml://registries/azureml/environments/sklearn-1.5/labels/latest")[0] == "sklearn-1.5"


@pytest.mark.parametrize("reference", ["azureml:mine:9", "azureml:mine@prod", "azureml:nobodys:1"])
def test_a_version_that_is_not_there_is_told(stage: Scene, reference: str) -> None:
    keep(stage, "mine", "1", conda("numpy"))
    with pytest.raises(Invalid) as refused:
        environments.wish(stage.world, reference, HERE)
    assert (refused.value.code, refused.value.pointer) == ("EnvironmentUnknown", "/environment")


def test_a_version_means_one_thing_for_ever(stage: Scene) -> None:
    keep(stage, "mine", "1", conda("numpy"))
    assert keep(stage, "mine", "1", {**conda("numpy"), "tags": {"a": "b"}}) == "1"
    with pytest.raises(Conflict):
        keep(stage, "mine", "1", conda("scipy"))


@pytest.mark.parametrize(
    ("name", "definition", "code", "pointer"),
    [
        ("AzureML-mine", conda("numpy"), "EnvironmentNameReserved", "/name"),
        ("microsoft-mine", conda("numpy"), "EnvironmentNameReserved", "/name"),
        ("mine", {}, "EnvironmentEmpty", ""),
        ("mine", conda("-e ."), "PipLineNotSupported", "/conda_file/dependencies/1/pip/0"),
    ],
)
def test_what_cannot_be_registered(
    stage: Scene, name: str, definition: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        keep(stage, name, "1", definition)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_an_environment_is_made_when_asked_for_and_again_after_a_failure(stage: Scene) -> None:
    keep(stage, "mine", "1", conda("numpy"))
    resolving = Resolving(stage.world)
    stage.resolver.failure = Broken("EnvironmentUnsatisfiable", "no such numpy")
    ask = wire.EnvironmentBuild(environment="azureml:mine:1")
    digest = environments.build(stage.world, HERE, ask).digest
    resolving.work()
    until(lambda: environments.build_view(stage.world, digest, 0).state == "failed")
    failed = environments.build_view(stage.world, digest, 0)
    assert failed.error is not None and failed.error.message == "no such numpy" and failed.text == "looking\nfound\n"
    with pytest.raises(Invalid) as refused:
        submit.submit(stage.world, "ann", HERE, stage.submission(environment="azureml:mine:1"))
    assert f"mayfly environment build {digest[:12]}" in (refused.value.remedy or "")
    stage.resolver.failure, stage.resolver.lines = None, ["again"]
    environments.build(stage.world, HERE, wire.EnvironmentBuild(digest=digest[:12]))
    resolving.work()
    until(lambda: environments.build_view(stage.world, digest, 0).state == "ready")
    made = environments.build_view(stage.world, digest, 0)
    assert (made.packages, made.text, made.error) == (["numpy==1.0"], "again\n", None)
    resolving.close()
