"""The examples are valid here and in Azure's own SDK, and their scripts run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mayfly.client import jobfile
from mayfly.spec import pipeline
from mayfly.spec.job import CommandJob, notes

EXAMPLES = Path(__file__).parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*/job.yml"))
PIPELINES = sorted(EXAMPLES.glob("*/pipeline.yml"))

_LOAD = """
import json, sys, logging
logging.disable(logging.CRITICAL)
from azure.ai.ml import load_job
found = {}
for path in sys.argv[1:]:
    job = load_job(path)
    named = job.command if hasattr(job, "command") else sorted(job.jobs)
    found[path] = [type(job).__name__, named, sorted(job.inputs), sorted(job.outputs)]
json.dump(found, sys.stdout)
"""


def test_there_are_examples() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert len(FILES) >= 7
    assert all(f"| `{path.parent.name}` |" in listed for path in [*FILES, *PIPELINES])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_an_example_is_valid(path: Path) -> None:
    file = jobfile.read(path)
    job = file.check()
    assert file.plain_paths() == file.checked_paths()
    assert isinstance(job, CommandJob)
    assert notes(job) == []


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.parent.name)
def test_an_example_of_a_pipeline_is_valid(path: Path) -> None:
    job = jobfile.read(path)
    assert job.check() is None
    made = pipeline.parse(job.definition)
    assert len(made.steps) >= 2 and made.notes() == []


def test_every_example_loads_in_azures_own_sdk() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD, *map(str, [*FILES, *PIPELINES])],
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    found = json.loads(done.stdout[done.stdout.index("{") :])
    for path in FILES:
        job = jobfile.read(path).check()
        kind, command, inputs, outputs = found[str(path)]
        assert kind in ("Command", "CommandJob")
        assert command == job.command
        assert (inputs, outputs) == (sorted(job.inputs), sorted(job.outputs))
    for path in PIPELINES:
        made = pipeline.parse(jobfile.read(path).definition)
        level = made.level
        assert found[str(path)] == ["PipelineJob", sorted(made.steps), sorted(level.inputs), sorted(level.outputs)]


def run(script: Path, folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "outputs").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(script), *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_hello_fields_writes_its_letter(tmp_path: Path) -> None:
    script = EXAMPLES / "hello-fields/src/hello.py"
    done = run(script, tmp_path, "hi", "--times", "2", "--politely", "True", "--to", str(tmp_path), SIGNED_BY="me")
    assert (tmp_path / "letter.txt").read_text() == "Dear world, hi hi\nme\n"
    assert "written to" in done.stdout


def test_inputs_outputs_counts_words(tmp_path: Path) -> None:
    base = EXAMPLES / "inputs-outputs"
    words = ["--texts", str(base / "data/texts"), "--stop-words", str(base / "data/stop-words.txt"), "--most", "2"]
    run(base / "src/count.py", tmp_path, *words, "--counts", str(tmp_path), "--summary", str(tmp_path / "s.txt"))
    assert (tmp_path / "s.txt").read_text() == "machine: 2\nneeds: 2\n"
    assert (tmp_path / "outputs/summary.txt").read_text() == (tmp_path / "s.txt").read_text()
    assert {path.name for path in tmp_path.glob("*.csv")} == {"machine.csv", "mayfly.csv"}


def test_spot_goes_on_where_it_stopped(tmp_path: Path) -> None:
    (tmp_path / "step.txt").write_text("2")
    done = run(EXAMPLES / "spot/src/steps.py", tmp_path, "--steps", "3", "--checkpoint", str(tmp_path))
    assert done.stdout == "starting at step 2 of 3\ndone\n"
    assert (tmp_path / "step.txt").read_text() == "3"


def test_tensorflow_config_finds_its_place(tmp_path: Path) -> None:
    config = {"cluster": {"worker": ["a:1", "b:2"], "ps": ["a:3"]}, "task": {"type": "worker", "index": 1}}
    done = run(EXAMPLES / "tensorflow-config/src/place.py", tmp_path, TF_CONFIG=json.dumps(config))
    assert done.stdout == "I am worker 1 at b:2\nps: a:3\nworker: a:1, b:2\n"


def test_the_pipelines_letters_are_compared(tmp_path: Path) -> None:
    base = EXAMPLES / "pipeline"
    for name in ("ada", "grace"):
        words = ["--letter", str(base / f"letters/{name}.txt"), "--least-length", "4"]
        run(base / "src/count.py", tmp_path, *words, "--counts", str(tmp_path / name))
    counts = ["--one", str(tmp_path / "ada"), "--other", str(tmp_path / "grace")]
    run(base / "src/compare.py", tmp_path, *counts, "--report", str(tmp_path / "report"))
    assert (tmp_path / "report").read_text().startswith("engine: 2 + 1\n")


def test_the_iris_file_is_whole() -> None:
    lines = (EXAMPLES / "iris/iris.csv").read_text().splitlines()
    assert lines[0] == "sepal_length,sepal_width,petal_length,petal_width,species"
    assert len(lines) == 151
