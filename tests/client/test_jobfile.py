from pathlib import Path

import pytest
import yaml

from mayfly.client import jobfile
from mayfly.kit.errors import Invalid

GOOD = "command: python train.py\ncode: src\nenvironment:\n  image: library/python:latest\n"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_yml", ".yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "job.yml"


def located(path: Path, sets: tuple[str, ...] = ()) -> list[str]:
    """What a person would be told, relative to the file's folder."""
    job = jobfile.read(path, sets)
    with pytest.raises(Invalid) as raised:
        job.check()
    return [f"{fault.code} {job.locate(fault)}".replace(f"{path.parent}/", "") for fault in raised.value.all_faults()]


def test_a_good_file_is_read_and_checked(tmp_path: Path) -> None:
    job = jobfile.read(write(tmp_path, job_yml=GOOD, src__train="x"), ["resources.instance_count=2"])
    assert job.check().resources.instance_count == 2
    assert job.local("src") == tmp_path / "src"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "foo: 1\n", "UnknownKey job.yml:5: Unknown key 'foo'."),
        (GOOD.replace("src", "scr"), "FileNotFound job.yml:2: 'scr' is not there"),
        (GOOD + "inputs:\n  d:\n    path: nothing\n", "FileNotFound job.yml:7: 'nothing' is not there"),
        (GOOD + "inputs:\n  d:\n    path: src/train\n", "InputIsAFile job.yml:7: "),
        (GOOD + "inputs:\n  d:\n    type: uri_file\n    path: src\n", "InputIsAFolder job.yml:8: "),
        (GOOD + 'inputs:\n  d:\n    path: "a\\0b"\n', "TextInvalid job.yml:7: "),
        (GOOD.replace("train.py", "${{inputs.d}}"), "InputUndefined job.yml:1: "),
        (GOOD + "  conda_file: env.yml\n", "FileNotFound job.yml:5: "),
        (GOOD + "  conda_file: broken.yml\n", "YamlSyntax broken.yml:2: "),
        ("command: x\nenvironment: file:missing.yml\n", "FileNotFound job.yml:2: "),
        (
            "command: x\nenvironment: file:env/env.yml\n",
            "UnknownKey env/env.yml:2: Unknown key 'imag' in 'environment'.",
        ),
        ("command: x\n", "MissingKey job.yml:1: 'environment' is missing."),
    ],
)
def test_every_fault_has_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, job_yml=text, src__train="x", broken_yml="a: 1\n b: 2\n", env__env_yml="image: x\nimag: y\n")
    (found,) = located(path)
    assert found.startswith(expected)


def test_all_of_them_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("src", "scr") + "foo: 1\ninputs:\n  d: {path: nothing, typ: x}\n"
    found = located(write(tmp_path, job_yml=text))
    assert [line.split(" ")[:2] for line in found] == [
        ["UnknownKey", "job.yml:5:"],
        ["UnknownKey", "job.yml:7:"],
        ["FileNotFound", "job.yml:2:"],
        ["FileNotFound", "job.yml:7:"],
    ]


def test_what_set_gave_has_no_line(tmp_path: Path) -> None:
    path = write(tmp_path, job_yml=GOOD, src__train="x")
    assert located(path, ("resources.instance_count=0",)) == ["InvalidValue Expected at least 1, found 0."]


def test_included_files_take_the_place_of_their_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        job_yml="command: x\nenvironment: file:./env/env.yml\n",
        env__env_yml="$schema: s\nname: n\nversion: 3\nimage: i\nconda_file: conda.yml\n",
        env__conda_yml="dependencies: [python=3.12, {pip: [scikit-learn]}]\n",
    )
    job = jobfile.read(path)
    assert job.check().environment.conda_file == {"dependencies": ["python=3.12", {"pip": ["scikit-learn"]}]}
    assert job.definition["environment"]["image"] == "i"
    assert job.definition["environment"]["conda_file"]["dependencies"][0] == "python=3.12"
    place = jobfile.Fault("X", "bad", "/environment/conda_file/dependencies/1/pip/0")
    assert job.locate(place) == f"{tmp_path}/env/conda.yml:1: bad"


@pytest.mark.parametrize(
    ("name", "code"), [("jbo.yml", "JobFileNotFound"), (".", "JobFileUnreadable"), ("job.yml/x", "JobFileUnreadable")]
)
def test_a_file_that_is_not_there(tmp_path: Path, name: str, code: str) -> None:
    write(tmp_path, job_yml=GOOD)
    with pytest.raises(Invalid) as raised:
        jobfile.read(tmp_path / name)
    assert raised.value.code == code
    if code == "JobFileNotFound":
        assert raised.value.remedy == "Did you mean 'job.yml'?"


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "job.yml"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(Invalid) as raised:
        jobfile.read(path)
    assert raised.value.code == "YamlTooLarge"


def test_another_type_of_job_is_one_fault(tmp_path: Path) -> None:
    (found,) = located(write(tmp_path, job_yml="type: sweep\ntrial: {code: nowhere}\n"))
    assert found.startswith("JobTypeNotSupported job.yml:1: ")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"type": "Command", "code": "src"},
        {"code": "file:src", "environment": "azureml:e@latest"},
        {"environment": {"image": "i", "conda_file": {"dependencies": ["pip"]}}},
        {"environment": {"build": {"path": "src"}}},
        {"environment": {"build": {"path": "file:src", "dockerfile_path": "other"}, "name": "e"}},
        {
            "inputs": {
                "a": {"path": "src"},
                "b": {"type": "UriFile", "path": "file:src/train"},
                "c": {"type": "uri-file", "path": "azureml:x:1", "mode": "download"},
                "d": {"value": 3},
                "e": "text",
                "f": {"path": "azureml://datastores/d/paths/x", "type": None},
                "g": {"type": "mltable", "path": "src"},
            }
        },
    ],
)
def test_what_a_plain_job_points_to_is_told_without_its_models(tmp_path: Path, more: dict) -> None:
    definition = {"command": "x", "environment": {"image": "i"}, **more}
    path = write(tmp_path, job_yml=yaml.safe_dump(definition), src__train="x", src__Dockerfile="x", src__other="x")
    job = jobfile.read(path)
    assert job.plain_paths() == job.checked_paths()


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("src", "gone"),
        GOOD + "inputs: {d: {path: src/train}}\n",
        "component: azureml:c:1\n",
        "type: pipeline\njobs: {}\n",
        "command: x\nenvironment: file:gone.yml\n",
    ],
)
def test_what_needs_the_whole_check_gets_it(tmp_path: Path, text: str) -> None:
    assert jobfile.read(write(tmp_path, job_yml=text, src__train="x")).plain_paths() is None
