"""What users do with Azure's SDK, step by step, as a script of theirs: run by `mayfly exec -- python steps.py ANSWERS`.

Nothing in it knows of Mayfly. Each step that raises is written down with its reason, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

warnings.simplefilter("ignore")

from azure.ai.ml import Input, MLClient, Output, command  # noqa: E402
from azure.ai.ml.entities import AmlCompute, Data, Environment, Model  # noqa: E402
from azure.ai.ml.exceptions import JobException  # noqa: E402
from azure.core.exceptions import ResourceNotFoundError  # noqa: E402
from azure.identity import DefaultAzureCredential  # noqa: E402

ml = MLClient(DefaultAzureCredential(), "sub", "rg", f"team-{sys.argv[2]}")
IMAGE = "library/python:latest"
answers: dict[str, str] = {}
kept: dict[str, object] = {}


def step(name: str) -> Callable[[Callable[[], None]], None]:
    def run(function: Callable[[], None]) -> None:
        try:
            function()
            answers[name] = "passes"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the step came to
            answers[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"

    return run


def printed(function: Callable[[], None]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function()
    return out.getvalue()


@step("workspaces.get")
def _() -> None:
    assert ml.workspaces.get(f"team-{sys.argv[2]}").location == "local"


@step("jobs.create_or_update: code, a local file, an output")
def _() -> None:
    job = command(
        code="./project",
        command="python train.py ${{inputs.rows}} ${{outputs.scores}}",
        inputs={"rows": Input(type="uri_file", path="rows.csv")},
        outputs={"scores": Output(type="uri_folder")},
        environment=Environment(image=IMAGE),
        experiment_name="first",
        tags={"team": "blue"},
    )
    kept["job"] = ml.jobs.create_or_update(job).name


@step("jobs.stream")
def _() -> None:
    assert "training on 3 rows" in printed(lambda: ml.jobs.stream(kept["job"]))
    assert ml.jobs.get(kept["job"]).status == "Completed"


@step("jobs.stream of a job that has ended")
def _() -> None:
    assert "training on 3 rows" in printed(lambda: ml.jobs.stream(kept["job"]))


@step("jobs.download: logs and the artifact root")
def _() -> None:
    printed(lambda: ml.jobs.download(kept["job"], download_path="got"))
    assert Path("got/artifacts/outputs/model.txt").read_text() == "a model"
    assert "training on 3 rows" in Path("got/artifacts/user_logs/std_log.txt").read_text()


@step("jobs.download: a named output")
def _() -> None:
    printed(lambda: ml.jobs.download(kept["job"], output_name="scores", download_path="got"))
    assert Path("got/named-outputs/scores/scores.txt").read_text() == "0.5"


@step("jobs.create_or_update: the same code is not sent again")
def _() -> None:
    job = command(code="./project", command="ls", environment=Environment(image=IMAGE))
    kept["second"] = ml.jobs.create_or_update(job).name


@step("jobs.list")
def _() -> None:
    assert {one.name for one in ml.jobs.list()} >= {kept["job"], kept["second"]}


@step("jobs.archive and jobs.restore")
def _() -> None:
    ml.jobs.archive(kept["job"])
    assert kept["job"] not in {one.name for one in ml.jobs.list()}
    ml.jobs.restore(kept["job"])
    assert kept["job"] in {one.name for one in ml.jobs.list()}


@step("jobs.create_or_update of a job that is there: its tags")
def _() -> None:
    job = ml.jobs.get(kept["job"])
    job.tags = {"team": "green"}
    ml.jobs.create_or_update(job)
    assert ml.jobs.get(kept["job"]).tags["team"] == "green"


@step("jobs.show_services")
def _() -> None:
    ml.jobs.show_services(kept["job"])


@step("jobs.stream of a job that fails")
def _() -> None:
    name = ml.jobs.create_or_update(command(command="exit 3", environment=Environment(image=IMAGE))).name
    try:
        printed(lambda: ml.jobs.stream(name))
    except JobException as error:
        assert "exit status 3" in str(error)
    assert ml.jobs.get(name).status == "Failed"


@step("jobs.begin_cancel")
def _() -> None:
    name = ml.jobs.create_or_update(command(command="sleep 300", environment=Environment(image=IMAGE))).name
    ml.jobs.begin_cancel(name).result()
    assert ml.jobs.get(name).status == "Canceled"


@step("jobs.get of none")
def _() -> None:
    try:
        ml.jobs.get("no_such_job")
    except ResourceNotFoundError:
        return
    raise AssertionError("it was found")


@step("environments: registered, the next version, found, archived")
def _() -> None:
    first = ml.environments.create_or_update(Environment(name="mine", image=IMAGE))
    second = ml.environments.create_or_update(Environment(name="mine", image="library/python:3"))
    assert (first.version, second.version) == ("1", "2")
    assert ml.environments.get("mine", label="latest").version == "2"
    ml.environments.archive("mine", version="2")
    assert [one.version for one in ml.environments.list("mine")] == ["1"]


@step("data: a local file, the next version, latest")
def _() -> None:
    made = ml.data.create_or_update(Data(name="rows", path="rows.csv", type="uri_file"))
    assert made.version == "1" and ml.data.get("rows", label="latest").version == "1"
    assert [one.name for one in ml.data.list()] == ["rows"]


@step("models: from a local file and from a job")
def _() -> None:
    ml.models.create_or_update(Model(name="local", path="project/train.py"))
    path = f"azureml://jobs/{kept['job']}/outputs/artifacts/paths/outputs/model.txt"
    assert ml.models.create_or_update(Model(name="trained", path=path)).version == "1"
    assert ml.models.get("trained", version="1").name == "trained"


@step("compute: made, listed, used, deleted")
def _() -> None:
    ml.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS3_v2", max_instances=4)).result()
    assert [one.name for one in ml.compute.list()] == ["cpu"]
    job = command(command="true", environment=Environment(image=IMAGE), compute="cpu")
    ml.jobs.create_or_update(job)
    ml.compute.begin_delete("cpu").result()


@step("compute.list_sizes and list_usage")
def _() -> None:
    assert list(ml.compute.list_sizes()) and list(ml.compute.list_usage())


@step("datastores.get_default and list")
def _() -> None:
    assert ml.datastores.get_default().name == "workspaceblobstore"
    assert list(ml.datastores.list())


Path(sys.argv[1]).write_text(json.dumps(answers), encoding="utf-8")
