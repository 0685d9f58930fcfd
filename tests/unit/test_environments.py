"""What environment definitions mean: tables of cases."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.domain import curated
from mayfly.domain.environments import CONTEXT, Container, container, plan_digest, understand, wish_digest, with_context
from mayfly.kit.errors import Invalid

REGISTRY = "azureml://registries/azureml/environments"


def conda(*dependencies: Any, channels: list[str] | None = None) -> dict[str, Any]:
    return {"image": "img", "conda_file": {"channels": channels or [], "dependencies": list(dependencies)}}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (f"{REGISTRY}/sklearn-1.5/labels/latest", "sklearn-1.5"),
        (f"{REGISTRY}/sklearn-1.5/versions/24", "sklearn-1.5"),
        ("azureml:AzureML-sklearn-0.24-ubuntu18.04-py37-cpu:5", "sklearn-1.5"),
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest", "sklearn-1.5"),
        ("azureml:AzureML-lightgbm-3.2-ubuntu18.04-py37-cpu@latest", "lightgbm-3.3"),
        ("azureml:AzureML-acpt-pytorch-1.13-py38-cuda11.7-gpu@latest", "acpt-pytorch-2.8-cuda12.6"),
        ("azureml:AzureML-tensorflow-2.7-ubuntu20.04-py38-cuda11-gpu@latest", "tensorflow-2.16-cuda12"),
        ("sklearn-1.5@latest", "sklearn-1.5"),
        ("minimal", "minimal"),
    ],
)
def test_references_to_curated_environments(reference: str, name: str):
    assert understand(reference).name == name


def test_a_retired_name_is_said_to_stand_for_another():
    (note,) = understand("azureml:AzureML-sklearn-0.24-ubuntu18.04-py37-cpu:5").notes
    assert "version 5" in note
    assert "sklearn-1.5" in note
    assert understand(f"{REGISTRY}/sklearn-1.5/labels/latest").notes == ()


@pytest.mark.parametrize("entry", curated.CURATED, ids=lambda entry: entry.name)
def test_each_curated_name_finds_itself(entry: curated.Curated):
    assert curated.find(entry.name) is entry
    assert curated.find(f"AzureML-{entry.name}") is entry


@pytest.mark.parametrize(
    ("image", "python", "said"),
    [
        ("library/python:latest", None, "stands for a Python"),
        ("python:3.11-slim", "3.11", "stands for Python 3.11"),
        ("docker.io/library/python:3.10.4-bullseye@sha256:00", "3.10", "stands for Python 3.10"),
        ("localhost:5000/python", None, "stands for a Python"),
        ("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest", None, "with pip"),
        ("mcr.microsoft.com/azureml/minimal-ubuntu20.04-py38-cpu-inference:latest", "3.8", "with pip"),
        ("nvidia/cuda:12.1-base", None, "not a Python image"),
        ("ubuntu", None, "not a Python image"),
        ("rocker/tidyverse:4.0.0-ubuntu18.04", None, "not a Python image"),
        ("acme/own:1", None, "a Python with pip"),
    ],
)
def test_what_an_image_stands_for(image: str, python: str | None, said: str):
    definition = understand({"image": image})
    assert (definition.python, definition.python_asked, definition.requirements) == (python, False, ())
    assert said in definition.notes[0]
    assert image in definition.notes[0]


def test_an_image_of_a_curated_environment_brings_its_packages():
    definition = understand({"image": "mcr.microsoft.com/azureml/curated/sklearn-1.5:12"})
    assert definition.requirements == understand("sklearn-1.5").requirements


@pytest.mark.parametrize(
    ("dependencies", "python", "requirements"),
    [
        (["python=3.10", "pip"], "3.10", ()),
        (["python=3.8.5", "pip=22.*"], "3.8.5", ("pip==22.*",)),
        (["pip=21.2.4", {"pip": ["mlflow"]}], None, ("pip==21.2.4", "mlflow", "setuptools<81")),
        (["pip", "setuptools=59", "numpy"], None, ("setuptools==59.*", "numpy")),
        (["python>=3.8,<3.12"], ">=3.8,<3.12", ()),
        (["python"], None, ()),
        (["numpy=1.21.2", "scipy=1.7", "pandas>=1.1,<1.2"], None, ("numpy==1.21.2", "scipy==1.7.*", "pandas>=1.1,<1.2")),
        (["conda-forge::scikit-learn==1.3=py310_0", "pytorch"], None, ("scikit-learn==1.3", "torch")),
        (["matplotlib >=3.4", "pandas=1.*"], None, ("matplotlib>=3.4", "pandas==1.*")),
        ([{"pip": ["a[b,c]==1; python_version < '3'", "x # why", "# none", "y >= 2, < 3"]}], None,
         ("a[b,c]==1; python_version < '3'", "x", "y >= 2, < 3")),
        ([{"pip": None}], None, ()),
    ],
)  # fmt: skip
def test_conda_files(dependencies: list[Any], python: str | None, requirements: tuple[str, ...]):
    definition = understand(conda(*dependencies))
    assert (definition.python, definition.requirements) == (python, requirements)
    assert definition.python_asked is (python is not None)


@pytest.mark.parametrize(
    ("environment", "code", "pointer"),
    [
        ("sklern-1.5", "EnvironmentUnknown", ""),
        ("azureml:my-own:3", "EnvironmentUnknown", ""),
        ("what is this", "EnvironmentUnknown", ""),
        ("./env.yml", "EnvironmentNotInlined", ""),
        ({}, "EnvironmentEmpty", ""),
        ({"image": 3}, "ImageInvalid", "/image"),
        ({"build": {"path": "."}}, "EnvironmentNeedsEngine", "/build"),
        ({"image": "a", "conda_file": "conda.yml"}, "EnvironmentNotInlined", "/conda_file"),
        ({"image": "a", "conda_file": ["x"]}, "CondaFileInvalid", "/conda_file"),
        ({"image": "a", "conda_file": {"name": "x"}}, "CondaFileInvalid", "/conda_file"),
        (conda("python=3.10", "cudatoolkit=11.3"), "CondaPackageNotSupported", "/conda_file/dependencies/1"),
        (conda({"npm": []}), "CondaDependencyInvalid", "/conda_file/dependencies/0"),
        (conda("numpy=[1]"), "CondaDependencyInvalid", "/conda_file/dependencies/0"),
        (conda({"pip": ["ok", "-r requirements.txt"]}), "PipLineNotSupported", "/conda_file/dependencies/0/pip/1"),
        (conda({"pip": ["-e ."]}), "PipLineNotSupported", "/conda_file/dependencies/0/pip/0"),
        (conda({"pip": ["--extra-index-url x y"]}), "PipLineNotSupported", "/conda_file/dependencies/0/pip/0"),
        (conda({"pip": ["git+https://example.org/x"]}), "PipLineNotSupported", "/conda_file/dependencies/0/pip/0"),
        (conda({"pip": ["numpy=1.2"]}), "PipLineInvalid", "/conda_file/dependencies/0/pip/0"),
        (conda({"pip": [3]}), "PipLineInvalid", "/conda_file/dependencies/0/pip/0"),
    ],
)
def test_refused(environment: Any, code: str, pointer: str):
    with pytest.raises(Invalid) as refused:
        understand(environment)
    assert (refused.value.code, refused.value.pointer) == (code, f"/environment{pointer}")


@pytest.mark.parametrize(
    "line", ["--extra-index-url https://me:secret@whl.example/cpu?key=secret", "-i https://whl.example/cpu", "-f=x"]
)
def test_another_index_is_said_to_be_left_out(line: str):
    found = understand(conda({"pip": [line, "torch"]}))
    assert found.requirements == ("torch",)
    assert sum("is not followed" in note for note in found.notes) == 1
    assert "secret" not in str(found.notes)


def test_every_fault_of_a_conda_file_is_told_at_once():
    with pytest.raises(Invalid) as refused:
        understand(conda("mkl", {"pip": ["-e .", "numpy=1.2"]}))
    assert len(refused.value.all_faults()) == 3
    assert "numpy==1.2" in (refused.value.all_faults()[2].remedy or "")


def test_a_near_name_is_offered():
    with pytest.raises(Invalid) as refused:
        understand("azureml:AzureML-sklern-1.5@latest")
    assert "sklearn-1.5/labels/latest" in (refused.value.remedy or "")


def test_the_wish_digest_has_order_and_not_names():
    one, other = conda("numpy", "scipy"), conda("scipy", "numpy")
    assert wish_digest(understand(one)) != wish_digest(understand(other))
    assert wish_digest(understand({**one, "name": "a", "version": "2"})) == wish_digest(understand(one))
    assert wish_digest(understand("sklearn-1.5")) == wish_digest(understand("AzureML-sklearn-1.0-py38@latest"))
    assert wish_digest(understand(conda("numpy", channels=["a", "b"]))) != wish_digest(
        understand(conda("numpy", channels=["b", "a"]))
    )


def test_the_plan_digest_covers_python_lock_and_variables():
    base = plan_digest("3.11.7", "numpy==2", {"A": "1", "B": "2"})
    assert base == plan_digest("3.11.7", "numpy==2", {"B": "2", "A": "1"})
    assert len(base) == 64
    others = [
        ("3.11.8", "numpy==2", {"A": "1", "B": "2"}),
        ("3.11.7", None, {"A": "1", "B": "2"}),
        ("3.11.7", "numpy==2", {}),
    ]
    assert base not in {plan_digest(*other) for other in others}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ("azureml:sklearn@latest", None),
        ({"image": "a:1", "conda_file": {"dependencies": []}}, None),
        ({"image": " a:1 "}, Container("a:1")),
        ({"build": {"path": ".", CONTEXT: "d" * 64}}, Container(context="d" * 64, dockerfile="Dockerfile")),
        ({"build": {"path": ".", CONTEXT: "d", "dockerfile_path": "./a/../B"}}, Container("", "d", "B")),
    ],
)
def test_what_an_engine_would_make(environment: Any, found: Container | None):
    assert container(environment) == found


@pytest.mark.parametrize(
    ("build", "code"),
    [
        ({"path": "."}, "EnvironmentNotSent"),
        ({CONTEXT: "d", "dockerfile_path": "../Dockerfile"}, "DockerfileOutside"),
        ({CONTEXT: "d", "dockerfile_path": "/etc/passwd"}, "DockerfileOutside"),
    ],
)
def test_a_build_that_cannot_be(build: Any, code: str):
    with pytest.raises(Invalid) as refused:
        container({"build": build})
    assert refused.value.code == code


def test_an_image_is_no_option_of_an_engine():
    with pytest.raises(Invalid) as refused:
        container({"image": "--all"})
    assert refused.value.code == "ImageInvalid"


def test_only_what_was_sent_is_a_context():
    claimed = {"build": {"path": ".", CONTEXT: "somebody else's"}}
    assert with_context(claimed, None) == {"build": {"path": "."}}
    assert with_context(claimed, "mine") == {"build": {"path": ".", CONTEXT: "mine"}}
