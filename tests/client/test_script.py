"""Jobs made for scripts: what is sent, which packages they get, and that nothing in the file is ours alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mayfly.client import script
from mayfly.client.script import Ask, Made
from mayfly.kit.errors import Fault, Invalid

ODD = [
    "plain",
    "a b",
    "it's",
    '"q"',
    "$HOME",
    "`id`",
    "é ü 漢",
    "${{x}}",
    "${{inputs.no}}",
    "$[[a]]",
    "",
    "-1",
    "a\nb",
    "*",
    "\\",
    "$${{{{",
]


def lay(folder: Path, **files: str) -> Path:
    """Files by names with `__` for '/' and `_dot_` for '.'."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def make(path: str | None = "train.py", *args: str, at: str = "job.yml", kept: bool = False, **given: Any) -> Made:
    ask = Ask(script=Path(path) if path else None, args=args, **given)
    return script.make(ask, Path(at), Path("/nobody"), kept=kept)


def environment(made: Made) -> Any:
    return made.job.definition["environment"]


def pip(made: Made) -> list[str]:
    return environment(made)["conda_file"]["dependencies"][2]["pip"]


def test_arguments_reach_the_program_as_they_were_typed(work: Path) -> None:
    lay(work, my_script_dot_py="")
    command = make("my_script.py", *ODD).job.check().command
    echo = "import sys, json; print(json.dumps(sys.argv[1:]))"
    (work / "my_script.py").write_text(echo)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=work)
    assert json.loads(done.stdout) == ODD


def test_declared_inputs_and_outputs_stay_references_and_a_near_miss_is_said(work: Path) -> None:
    lay(work, train_dot_py="", data__a_dot_csv="1")
    made = make(
        "train.py", "--d", "${{inputs.data}}", "--o=${{ outputs.model }}", "${{inputs.dat}}",
        inputs={"data": "data", "one": "data/a.csv"}, outputs={"model": None},
    )  # fmt: skip
    job = made.job.check()
    assert job.command == "python train.py --d '${{inputs.data}}' '--o=${{ outputs.model }}' '$''{{inputs.dat}}'"
    assert made.notes[0].endswith("Did you mean data?")
    assert (job.data_inputs["data"].type, job.data_inputs["one"].type) == ("uri_folder", "uri_file")


@pytest.mark.parametrize(
    ("files", "expected", "source"),
    [
        ({"requirements_dot_txt": "numpy>=2  # why\n\npandas \\\n  >=2\n-r more.txt\n", "more_dot_txt": "tqdm --hash=sha256:00\n"}, ["numpy>=2", "pandas >=2", "tqdm"], "requirements.txt:5"),
        ({"pyproject_dot_toml": '[project]\nname="x"\nrequires-python=">=3.9, <4"\ndependencies=[\n "tqdm",\n "nope"\n]\n'}, ["tqdm", "nope"], "pyproject.toml:6"),
        ({"train_dot_py": '#!/usr/bin/env python\n# /// script\n# dependencies = [\n#   "tqdm",\n#   "nope",\n# ]\n# ///\n', "requirements_dot_txt": "other"}, ["tqdm", "nope"], "train.py:5"),
    ],
)  # fmt: skip
def test_packages_are_found_beside_the_script_each_with_its_line(
    work: Path, files: dict[str, str], expected: list[str], source: str
) -> None:
    lay(work, **{"train_dot_py": "", **files})
    made = make()
    assert pip(made) == expected
    last = f"/environment/conda_file/dependencies/2/pip/{len(expected) - 1}"
    assert f"{source}: no" in made.job.locate(Fault("X", "no", last))


def test_a_conda_file_is_named_and_the_folder_above_is_looked_at_as_far_as_where_we_stand(work: Path) -> None:
    lay(work, conda_dot_yml="dependencies: [python=3.11, numpy]\n", src__deep__train_dot_py="import numpy\n")
    made = make("src/deep/train.py")
    assert "conda_file: ./conda.yml" in made.text
    assert made.job.check().code == "./src/deep"
    lay(work, src__deep__requirements_dot_txt="tqdm\n", src__deep__environment_dot_yml="dependencies: [numpy]\n")
    nearer = make("src/deep/train.py")
    assert pip(nearer) == ["tqdm"]
    assert "not from environment.yml" in nearer.notes[0]


def test_without_packages_the_imports_that_need_some_are_named(work: Path) -> None:
    lay(
        work,
        train_dot_py="import os, numpy as np\nfrom sklearn.svm import SVC\nimport near\nfrom . import x\n",
        near_dot_py="",
    )
    made = make()
    assert environment(made) == {"image": "library/python:latest"}
    assert "imports numpy, sklearn, and nothing says" in made.notes[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sklearn-1.5", "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"),
        ("AzureML-sklearn-1.5", "azureml:AzureML-sklearn-1.5@latest"),
        ("mine", "azureml:mine@latest"),
        ("mine:3", "azureml:mine:3"),
        ("azureml:mine@latest", "azureml:mine@latest"),
        ("docker.io/library/python:3.11", {"image": "docker.io/library/python:3.11"}),
    ],
)
def test_environments_by_the_names_people_use(work: Path, name: str, expected: Any) -> None:
    lay(work, train_dot_py="")
    assert environment(make(env=name)) == expected


@pytest.mark.parametrize(
    ("path", "begin"),
    [("a b.py", "python 'a b.py'"), ("-x.py", "python ./-x.py"), ("go.sh", "bash go.sh"), ("tool", "python tool")],
)
def test_how_each_kind_of_script_is_started(work: Path, path: str, begin: str) -> None:
    (work / path).write_text("#!/usr/bin/env python3\n")
    assert make(f"./{path}").job.check().command == begin


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("note.ipynb", "ScriptNotSupported", "jupyter nbconvert"),
        ("job.yml", "ScriptNotSupported", "mayfly job create --file"),
        ("a.R", "ScriptNotSupported", "job file"),
        ("tarin.py", "ScriptNotFound", "train.py"),
        (".", "ScriptNotSupported", "script"),
    ],
)
def test_what_cannot_be_run_is_said_with_what_to_do(work: Path, path: str, code: str, words: str) -> None:
    lay(work, train_dot_py="", **{name.replace(".", "_dot_"): "x" for name in ("note.ipynb", "job.yml", "a.R")})
    with pytest.raises(Invalid) as raised:
        make(path)
    assert raised.value.code == code
    assert words in str(raised.value.remedy)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train_dot_py": "# /// script\n# dependencies = [\n# ///\n"}, "train.py:2: this is not TOML"),
        ({"train_dot_py": "# /// script\n# dependencies = 3\n# ///\n"}, "must be a list of texts"),
        ({"train_dot_py": "# /// script\n# a = 1\n# ///\n\n# /// script\n# a = 1\n# ///\n"}, "train.py:5: a second"),
        ({"requirements_dot_txt": "a\n-r requirements.txt\n"}, "includes itself"),
        ({"requirements_dot_txt": "-r nope.txt\n"}, "requirements.txt:1: 'nope.txt' cannot be read"),
        ({"pyproject_dot_toml": '[project]\nname="x"\ndynamic=["dependencies"]\n'}, "are dynamic"),
    ],
)
def test_package_lists_that_cannot_be_read_name_file_and_line(work: Path, files: dict[str, str], words: str) -> None:
    lay(work, **{"train_dot_py": "", **files})
    with pytest.raises(Invalid, match=r".*") as raised:
        make()
    assert words in raised.value.message


def test_a_folder_that_was_hardly_meant_is_not_sent(work: Path) -> None:
    lay(work, train_dot_py="")
    with pytest.raises(Invalid) as home:
        script.make(Ask(script=Path("train.py")), Path("job.yml"), work, kept=False)
    assert home.value.code == "CodeFolderTooWide"
    (work / "data").mkdir()
    for number in range(script.MOST_FILES + 1):
        (work / "data" / str(number)).touch()
    with pytest.raises(Invalid) as huge:
        make()
    assert huge.value.code == "CodeFolderTooLarge"
    assert "'data/'" in str(huge.value.remedy)
    assert make(code=Path()).job.check().code == "."
    (work / ".amlignore").write_text("data/\n")
    assert make().job.check().code == "."


def test_the_code_folder_may_be_named_and_must_hold_the_script(work: Path) -> None:
    lay(work, src__train_dot_py="", other__x_dot_txt="")
    assert make("src/train.py", code=Path()).job.check().command == "python src/train.py"
    with pytest.raises(Invalid) as raised:
        make("src/train.py", code=Path("other"))
    assert raised.value.code == "ScriptOutsideCode"


def test_modules(work: Path) -> None:
    lay(work, pack__go_dot_py="", pack__deep____main___dot_py="")
    assert make(None, "--x", module="pack.go").job.check().command == "python -m pack.go --x"
    with pytest.raises(Invalid, match=r"neither no\.py nor no/__main__\.py"):
        make(None, module="pack.no")


_LOAD = """
import json, sys, logging
logging.disable(logging.CRITICAL)
from azure.ai.ml import load_job
found = []
for path in sys.argv[1:]:
    job = load_job(path)
    found.append([job.command, sorted(job.inputs), sorted(job.outputs), type(job).__name__, str(job.code)])
json.dump(found, sys.stdout)
"""


def test_azures_own_sdk_loads_what_is_kept(work: Path) -> None:
    lay(
        work,
        train_dot_py="",
        requirements_dot_txt="numpy\n",
        sub__go_dot_sh="",
        sub__conda_dot_yml="dependencies: [pip]\n",
    )
    first = make("train.py", *ODD, at="kept/a.yml", kept=True, inputs={"d": "sub"}, outputs={"m": "mlflow_model"},
        variables={"A": "off"}, keys={"queue_settings": {"job_tier": "spot"}, "limits": {"timeout": 5},
        "resources": {"instance_type": "Standard_E4s_v3", "instance_count": 2}, "tags": {"a": "1"},
        "display_name": "x: y", "experiment_name": "e"})  # fmt: skip
    second = make("sub/go.sh", at="b.yml", kept=True)
    (work / "kept").mkdir()
    (work / "kept" / "a.yml").write_text(first.text)
    (work / "b.yml").write_text(second.text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD, "kept/a.yml", "b.yml"],
        capture_output=True, text=True, timeout=170, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout[done.stdout.index("[[") :])
    assert found[0][:3] == [first.job.definition["command"], ["d"], ["m"]]
    assert found[1][0] == "bash go.sh"
    assert (work / "kept" / found[0][4]).resolve() == work
