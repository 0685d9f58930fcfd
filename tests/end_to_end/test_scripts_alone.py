"""`mayfly run`: a script alone becomes a job that Azure's own files could have asked for."""

from __future__ import annotations

import json

import pytest
import yaml

from mayfly.testing.embedded import Embedded

pytestmark = pytest.mark.end_to_end

TRAIN = """
import argparse, os, pathlib
import six
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--data")
given = parser.parse_args()
words = pathlib.Path(given.data).read_text()
pathlib.Path("outputs/lr").write_text(str(given.lr))
print(f"lr={given.lr} words={words} by={os.environ['WHO']} six={six.__name__}")
raise SystemExit(int(words == "fail"))
"""


def test_a_script_its_packages_and_its_data_become_a_job(shared: Embedded) -> None:
    place = shared.place / "my script ü"
    place.mkdir()
    (place / "train it.py").write_text(TRAIN)
    (place / "requirements.txt").write_text("six\n")
    (place / "words.txt").write_text("hello")
    ask = ("run", str(place / "train it.py"), "-i", f"words={place / 'words.txt'}", "-e", "WHO=me", "--tag", "a=b")
    saved = place / "kept" / "job.yml"
    saved.parent.mkdir()
    options = ("--save", str(saved), "-n", "scripted")
    said = shared.run(*ask, *options, "--", "--lr", "0.1", "--data", "${{inputs.words}}")
    assert said.status == 0, said.err
    assert "lr=0.1 words=hello by=me six=six" in said.out
    job = shared.json("job", "show", "-n", "scripted")
    assert (job["status"], job["tags"]) == ("Completed", {"a": "b"})
    kept = yaml.safe_load(saved.read_text())
    assert kept["$schema"].endswith("commandJob.schema.json") and kept["inputs"]["words"]["path"] == "../words.txt"
    again = shared.json("job", "create", "-f", str(saved), "--name", "again", "--stream")
    assert again["status"] == "Completed"
    (place / "words.txt").write_text("fail")
    said = shared.run(*ask, "--", "--data", "${{inputs.words}}")
    assert said.status == 1 and "words=fail" in said.out


def test_a_runs_artifact_is_the_input_of_the_next_job(shared: Embedded) -> None:
    image = {"image": "library/python:latest"}
    first = shared.submit({"command": "mkdir outputs/model; echo w > outputs/model/w", "environment": image})
    shared.wait(first, "Completed")
    for path, type in ((f"runs:/{first}/outputs/model", "uri_folder"), (f"runs:/{first}/outputs/model/w", "uri_file")):
        command = "cat ${{inputs.x}}" + ("/w" if type == "uri_folder" else "")
        inputs = {"x": {"path": path, "type": type}}
        second = shared.submit({"command": command, "environment": image, "inputs": inputs})
        shared.wait(second, "Completed")
        assert shared.log(second) == "w\n"
    wrong = shared.write(
        {"command": "ls ${{inputs.x}}", "environment": image, "inputs": {"x": {"path": f"runs:/{first}/no"}}}
    )
    said = shared.run("job", "create", "-f", str(wrong), "-o", "json")
    assert said.status == 4 and "has nothing at 'no'" in json.loads(said.err)["error"]["message"]


def test_what_was_submitted_can_be_kept_and_submitted_again(shared: Embedded) -> None:
    kept = shared.place / "kept.yml"
    path = shared.write({"command": "echo ${{inputs.n}}", "environment": {"image": "python"}, "inputs": {"n": 1}})
    said = shared.run("job", "create", "-f", str(path), "--set", "inputs.n=7", "-a", str(kept), "--skip-validation")
    assert said.status == 0 and "--skip-validation changes nothing" in said.err
    again = shared.json("job", "create", "-f", str(kept), "--stream")
    assert (again["status"], shared.log(again["name"])) == ("Completed", "7\n")
