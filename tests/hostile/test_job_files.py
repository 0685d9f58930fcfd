"""Job files that try the parser, the shell, the package resolver or the machine."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.domain.environments import understand
from mayfly.kit.errors import Invalid
from mayfly.kit.expressions import references, render
from mayfly.spec import overrides
from mayfly.spec.document import load
from mayfly.spec.job import parse

BASE = "command: echo\nenvironment: {image: python}\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("inputs: {x: 0x" + "f" * 6000 + "}", "YamlValueUnsupported"),
        ("inputs: {x: 0b" + "1" * 60000 + "}", "YamlValueUnsupported"),
        ("inputs: {x: 1" + ":59" * 5000 + "}", "YamlValueUnsupported"),
        ('inputs: {x: "a\\0b"}', "TextInvalid"),
        ('environment_variables: {A: "a\\0b"}', "TextInvalid"),
        ('tags: {"\\ud800": a}', "TextInvalid"),
        ('description: "\\udcff"', "TextInvalid"),
        ("environment_variables: {A: " + "x" * 140_000 + "}", "TextTooLong"),
        ("distribution: {type: pytorch, process_count_per_instance: 1000000}", "InvalidValue"),
        ("distribution: {type: tensorflow, worker_count: 1000000000}", "InvalidValue"),
        ("resources: {shm_size: 99999999999999999999g}", "InvalidValue"),
    ],
)
def test_refused_with_a_code(text: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(load(BASE + text, "job.yml").data)
    assert refused.value.code == code and len(refused.value.message) < 300
    refused.value.message.encode()


@pytest.mark.parametrize("text", ["${{" * 300_000, "${{inputs.x}}" * 20_000 + "${{" * 100_000])
def test_expressions_take_no_more_than_linear_time(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        references(text)
    assert refused.value.code == "ExpressionInvalid"


def test_values_are_not_looked_at_again() -> None:
    assert render("a ${{inputs.x}} ${{ inputs.y }}b", lambda one: "${{inputs." + one.path[1] + "}}") == (
        "a ${{inputs.x}} ${{inputs.y}}b"
    )


@pytest.mark.parametrize(
    "line",
    [
        "numpy; x\r--index-url http://elsewhere",
        "numpy\n-r /etc/passwd",
        "numpy; x\x0b-r x",
        "numpy ; x\u2028-r x",
        "numpy; x\x85-r x",
        "numpy; python_version>'3' --hash=sha256:00",
        "numpy @ file:///etc",
        "--index-url=http://elsewhere numpy",
        "n" * 5000,
    ],
)
def test_a_requirement_is_one_line_without_options(line: str) -> None:
    environment: dict[str, Any] = {"image": "python", "conda_file": {"dependencies": ["python", {"pip": [line]}]}}
    with pytest.raises(Invalid):
        understand(environment)


def test_ordinary_requirements_stay() -> None:
    lines = ["numpy==1.26.4", "pandas>=2,<3 ; python_version >= '3.9'", "scikit-learn[alldeps] ~= 1.5"]
    environment = {"image": "python", "conda_file": {"dependencies": ["python", {"pip": lines}]}}
    assert understand(environment).requirements == tuple(lines)


def test_environments_have_names_of_some_length() -> None:
    for environment in ("a" * 5000, {"image": "rocker/" * 100_000 + "\n"}):
        with pytest.raises(Invalid) as refused:
            understand(environment)
        assert refused.value.code == "EnvironmentInvalid"


@pytest.mark.parametrize("setting", ["a.\u00b2=1", "a.99999999999=1", "a.-1=1", "inputs.x=0x" + "f" * 5000])
def test_settings(setting: str) -> None:
    with pytest.raises(Invalid):
        overrides.apply({"a": [1]}, [setting])
