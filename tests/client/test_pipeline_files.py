"""A pipeline's files: put in their places at every level, sent once, and faults found at their lines in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mayfly.client import jobfile
from mayfly.kit.errors import Invalid

PIPELINE = """\
type: pipeline
inputs:
  table: {type: uri_file, path: ../table.csv}
jobs:
  one:
    component: ../parts/train/train.yml
    inputs:
      data: ${{parent.inputs.table}}
  two:
    type: pipeline
    component: file:../parts/inner.yml
"""
INNER = """\
type: pipeline
jobs:
  fit:
    component: train/train.yml
    inputs:
      data: {path: own}
"""
TRAIN = """\
command: ls ${{inputs.data}}
code: ./src
environment: {image: x, conda_file: conda.yml}
inputs:
  data: {type: uri_folder}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    texts: dict[str, Any] = {
        "jobs/job.yml": PIPELINE,
        "table.csv": "a",
        "parts/inner.yml": INNER,
        "parts/own/x.txt": "x",
        "parts/train/train.yml": TRAIN,
        "parts/train/conda.yml": "dependencies: [pip]\n",
        "parts/train/src/t.py": "pass",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_files_stand_in_their_places_with_their_own_paths(place: Path) -> None:
    job = jobfile.read(place / "jobs" / "job.yml")
    paths = {pointer: job.local(path.path).resolve() for pointer, path in job.checked_paths().items()}
    assert paths == {
        "/inputs/table/path": place / "table.csv",
        "/jobs/one/component/code": place / "parts/train/src",
        "/jobs/two/component/jobs/fit/component/code": place / "parts/train/src",
        "/jobs/two/component/jobs/fit/inputs/data/path": place / "parts/own",
    }
    fit = job.definition["jobs"]["two"]["component"]["jobs"]["fit"]["component"]
    assert fit["environment"]["conda_file"] == {"dependencies": ["pip"]}


def faults(place: Path) -> list[str]:
    job = jobfile.read(place / "jobs" / "job.yml")
    with pytest.raises(Invalid) as raised:
        job.check()
    return [f"{job.locate(fault).removeprefix(str(place))} [{fault.code}]" for fault in raised.value.all_faults()]


def test_a_fault_in_a_components_file_has_its_line(place: Path) -> None:
    (place / "parts/inner.yml").write_text(INNER.replace("data:", "dta:"))
    (place / "jobs/job.yml").write_text(PIPELINE.replace("inputs.table}}", "inputs.tabel}}"))
    assert sorted(faults(place)) == [
        "/jobs/job.yml:8: ${{parent.inputs.tabel}}: the pipeline has no input 'tabel'. [InputUndefined]",
        "/parts/inner.yml:5: The component needs the input 'data' (uri_folder). [InputMissing]",
        "/parts/inner.yml:6: The component has no input 'dta'. [InputUnknown]",
    ]


def test_a_missing_file_is_one_fault(place: Path) -> None:
    (place / "jobs/job.yml").write_text(PIPELINE.replace("parts/inner.yml", "parts/iner.yml"))
    (found,) = faults(place)
    assert found.startswith("/jobs/job.yml:11: There is no file") and found.endswith("[FileNotFound]")


def test_a_component_that_stands_in_itself_is_shown_as_a_path(place: Path) -> None:
    (place / "parts/train/train.yml").write_text("type: pipeline\njobs: {again: {component: ../inner.yml}}\n")
    found = faults(place)
    assert any(
        "/parts/train/train.yml:2: A component stands in itself: inner.yml → train.yml → inner.yml." in one
        for one in found
    )


def test_a_circle_within_a_nested_pipeline_is_shown_as_a_path_at_its_line(place: Path) -> None:
    last = "      data: {path: own}\n"
    more = "    depends_on: [check]\n  check: {command: 'true', environment: {image: x}, depends_on: fit}\n"
    (place / "parts/inner.yml").write_text(INNER.replace(last, last + more))
    (found,) = faults(place)
    assert found == "/parts/inner.yml:8: Steps wait for each other in a circle: fit → check → fit. [StepsInACircle]"


def test_a_circle_through_a_nested_pipeline_is_shown_as_a_path(place: Path) -> None:
    outer = PIPELINE.replace("${{parent.inputs.table}}", "${{parent.jobs.two.outputs.made}}")
    (place / "jobs/job.yml").write_text(outer + "    depends_on: one\n")
    inner = INNER.replace("jobs:", "outputs: {made: {}}\njobs:") + "    outputs: {o: '${{parent.outputs.made}}'}\n"
    (place / "parts/inner.yml").write_text(inner)
    (place / "parts/train/train.yml").write_text(TRAIN + "outputs: {o: {}}\n")
    (found,) = faults(place)
    assert "/jobs/job.yml:" in found and "in a circle: one → two → one." in found


def test_a_pipeline_component_is_read_by_itself(place: Path) -> None:
    (place / "parts/inner.yml").write_text("name: inner\n" + INNER)
    found = jobfile.read_component(place / "parts/inner.yml").checked_paths()
    assert sorted(found) == ["/component/jobs/fit/component/code", "/component/jobs/fit/inputs/data/path"]


def test_for_one_step_only_its_own_files_are_wanted(place: Path) -> None:
    job = jobfile.read(place / "jobs" / "job.yml")
    assert sorted(job.narrowed("one", "", named=False).checked_paths()) == [
        "/inputs/table/path",
        "/jobs/one/component/code",
    ]
    assert sorted(job.narrowed("two.fit", "", named=False).checked_paths()) == [
        "/jobs/two/component/jobs/fit/component/code",
        "/jobs/two/component/jobs/fit/inputs/data/path",
    ]
